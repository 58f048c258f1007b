"""Sprites drawn from their factors: a square, an ellipse or a heart, white on black, 64 x 64.

dSprites (Matthey et al., 2017) has every combination of 3 shapes, 6 scales, 40 orientations and 32
places along x and y, and its images are drawn once and kept in a file. Here they are drawn from
outlines of about the same size, so that pixels at the edges differ from those of the file.
"""

import functools

import numpy as np

SIDE = 64
# Shape, scale, orientation, x, y, in the order of dSprites.
FACTORS = (3, 6, 40, 32, 32)
NAMES = ("shape", "scale", "orientation", "x", "y")
SQUARE, ELLIPSE, HEART = range(3)
# A sprite at the largest scale, and at any angle, is within so many pixels of its centre.
REACH = 16
LEAST_SCALE, LARGEST_SCALE = 0.5, 1.0
# Sprites that are drawn at a time.
PIECE = 10_000


def _inside(shape: int, right: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Which points are within the outline of a shape at scale 1, in pixels from its centre."""
    if shape == SQUARE:
        return np.maximum(np.abs(right), np.abs(up)) <= 10.0
    if shape == ELLIPSE:
        return (right / 7.5) ** 2 + (up / 15.0) ** 2 <= 1.0
    # (x^2 + y^2 - 1)^3 = x^2 y^3, about 2.3 wide and high, with its middle at the centre.
    x, y = right / 11.5, up / 11.5 + 0.13
    return (x**2 + y**2 - 1.0) ** 3 <= x**2 * y**3


@functools.cache
def stamps() -> np.ndarray:
    """Sprites in the middle, [3, 6, 40, 2 REACH, 2 REACH] of bool.

    Angles go once around: as in dSprites the last is the first again.
    """
    shapes, scales, angles, _, _ = FACTORS
    offset = np.arange(2 * REACH) - (REACH - 0.5)
    down, right = np.meshgrid(offset, offset, indexing="ij")
    found = np.empty((shapes, scales, angles, 2 * REACH, 2 * REACH), bool)
    for i, scale in enumerate(np.linspace(LEAST_SCALE, LARGEST_SCALE, scales)):
        for k, angle in enumerate(np.linspace(0.0, 2.0 * np.pi, angles)):
            cosine, sine = np.cos(angle) / scale, np.sin(angle) / scale
            turned = cosine * right + sine * down, sine * right - cosine * down
            for shape in range(shapes):
                found[shape, i, k] = _inside(shape, *turned)
    return found


def draw(factors: np.ndarray) -> np.ndarray:
    """Images of 0 and 1 as uint8, [n, 64, 64], from places of factors, [n, 5].

    The first and last places along x and y have the largest sprites at the edges.
    """
    factors = np.asarray(factors, np.int64)
    images = np.zeros((len(factors), SIDE, SIDE), np.uint8)
    step = (SIDE - 2 * REACH) / (FACTORS[3] - 1)
    inside = np.arange(2 * REACH)
    for start in range(0, len(factors), PIECE):
        piece = slice(start, start + PIECE)
        shape, scale, angle, x, y = factors[piece].T
        left, top = (np.round(step * place).astype(np.int64) for place in (x, y))
        rows = (top[:, None] + inside)[:, :, None]
        columns = (left[:, None] + inside)[:, None, :]
        places = np.arange(len(left))[:, None, None]
        images[piece][places, rows, columns] = stamps()[shape, scale, angle]
    return images
