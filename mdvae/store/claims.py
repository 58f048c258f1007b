"""What a checkpoint says that it holds, looked at before any of it is read.

So that what a stranger's checkpoint claims to have is not made room for.
"""

import contextlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from mdvae.data.base import PyTree
from mdvae.settings.fields import ConfigError
from mdvae.store import opening

# Rows that fill a slice up to a multiple of its devices are fewer than these are.
MOST_ROWS_MORE = 4_096
# Bytes of arrays for each byte of files: states are hardly compressed by half, or where they are
# mostly padding tenfold. Arrays that are not in the files at all are zeros, read in full.
_MOST_COMPRESSED, _FREE_BYTES = 200, 64 * 2**20


def are_wanted(metadata: Mapping[str, Any], wanted: Mapping[str, PyTree], step: Path) -> bool:
    """Whether arrays have the shapes that are wanted, and no more bytes than files can hold.

    Args:
        metadata: of the items of a step, as Orbax reads it.
        wanted: arrays of the shapes to expect, by item.
        step: the folder of the step.
    """
    room = _FREE_BYTES + _MOST_COMPRESSED * opening.size_of(step)
    for name, item in wanted.items():
        claimed, own = jax.tree.leaves(metadata[name]), jax.tree.leaves(item)
        # Names are in another order there than fields of a NamedTuple.
        if sorted(each.shape for each in claimed) != sorted(leaf.shape for leaf in own):
            return False
        for found in claimed:
            chunk = getattr(found.storage, "chunk_shape", None) or ()
            room -= math.prod(found.shape) * np.dtype(found.dtype).itemsize
            is_larger = math.prod(chunk) > max(1, math.prod(found.shape))
            if room < 0 or is_larger:
                return False
    return True


def check_nesting(directory: Path) -> None:
    """Refuses metadata of a step that are nested too deep to be read.

    Orbax reads those of all steps before it reads one, and raises; what is no JSON it minds not.

    Raises:
        ConfigError: with the file.
    """
    for file in sorted(directory.glob("*/_CHECKPOINT_METADATA")):
        try:
            with contextlib.suppress(ConfigError, ValueError):
                json.loads(opening.read_text(file))
        except RecursionError as error:
            raise ConfigError(
                f"{file}: cannot be read (too deep); restore it, or remove its folder"
            ) from error
