"""Makes the samples that come with mdvae from all of MNIST and Fashion-MNIST.

    python launch/make_samples.py

The first images of each class, in their order in the whole set. The files come out the same, byte
by byte, wherever the same versions of Python and NumPy make them; launch/get_data.sh gets the sets.
"""

import io
import zipfile

import numpy as np

from mdvae.data.image_sources import NAMED, SAMPLES, load

SOURCES = {"mnist_sample": "mnist", "fashion_sample": "fashion_mnist"}


def balanced(y: np.ndarray, n: int) -> np.ndarray:
    """Places of the first images of each class, n in all, ascending."""
    classes = np.unique(y)
    return np.sort(np.concatenate([np.flatnonzero(y == k)[: n // len(classes)] for k in classes]))


def main() -> None:
    """Writes both files and says how large they are."""
    for sample, dataset in SOURCES.items():
        arrays = {}
        for split, side, n in (
            ("train", "train", NAMED[sample].n_train),
            ("eval", "test", NAMED[sample].n_eval),
        ):
            x, y = load(dataset, "", split)
            assert y is not None
            rows = balanced(y, n)
            arrays[f"x_{side}"], arrays[f"y_{side}"] = x[rows, ..., 0], y[rows].astype(np.uint8)
        path = SAMPLES / f"{sample}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
            for name, array in arrays.items():
                buffer = io.BytesIO()
                np.save(buffer, array)
                # Without the time of day that a plain name would be written with.
                archive.writestr(
                    zipfile.ZipInfo(f"{name}.npy"), buffer.getvalue(), zipfile.ZIP_LZMA
                )
        print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
