"""Training of the classifier of images: its batches, and how their images are moved."""

import numpy as np

from mdvae.data.image_files import Images
from mdvae.engine import classifier as training


def test_batches_hold_each_image_once_in_an_epoch():
    n = 2 * training.BATCH + 5
    x = np.zeros((n, 9, 9, 1), np.uint8)
    x[:, 4, 4, 0] = 1 + np.arange(n) % 200
    y = np.arange(n)
    orders = []
    found = list(training.batches(Images(x, y), 2, np.random.default_rng(0)))
    assert [len(batch.x) for batch in found] == [training.BATCH] * 4
    for epoch in (found[:2], found[2:]):
        labels = np.concatenate([batch.y for batch in epoch])
        assert len(np.unique(labels)) == 2 * training.BATCH
        pixels = np.concatenate([batch.x.max(axis=(1, 2, 3)) for batch in epoch])
        np.testing.assert_array_equal(pixels, 1 + labels % 200)
        orders.append(labels.tolist())
    assert orders[0] != orders[1]


def test_shifts_are_by_two_pixels_at_most_and_bring_zeros_in():
    x = np.zeros((500, 9, 8, 1), np.uint8)
    x[:, 3, 4] = 7
    moved = training.shifted(x, np.random.default_rng(0))
    assert np.all(moved.sum(axis=(1, 2, 3)) == 7)
    _, rows, columns, _ = np.nonzero(moved)
    assert set(rows - 3) == set(columns - 4) == {-2, -1, 0, 1, 2}
    assert np.corrcoef(rows, columns)[0, 1] < 0.15
    corner = np.ones((100, 5, 5, 1), np.uint8)
    assert set(np.unique(training.shifted(corner, np.random.default_rng(1)).sum(axis=(1, 2)))) == {
        a * b for a in (3, 4, 5) for b in (3, 4, 5)
    }
