"""Activations as tasks of distances read them: memory for rows, kept from task to task, and a reader that counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from distspc.distances.options import LayerOptions
from distspc.distances.planning.plan import Range
from distspc.store.scaling import stored_moments
from distspc.tasks import SpareMemory

_spare: SpareMemory[np.ndarray] = SpareMemory()


@contextmanager
def row_memory(lengths: Sequence[int], n_features: int) -> Iterator[list[np.ndarray]]:
    """Float32 arrays (length, n_features) with any content, in the memory of the last task if it took as much."""
    shape = (sum(lengths), n_features)
    memory = _spare.take()
    if memory is None or memory.shape != shape:
        memory = None  # before there is new memory
        memory = np.empty(shape, np.float32)
    yield np.split(memory, np.cumsum(lengths)[:-1])
    _spare.keep(memory)


class Reader:
    """Reads activations of one layer as float32, scaled as the options say, and counts the bytes."""

    def __init__(self, options: LayerOptions, features: Range) -> None:
        self.group, self.features, self.nbytes = options.store.layer(options.layer), slice(*features), 0
        self._moments = stored_moments(options.store, options.layer, options.scaling, self.features)

    def __call__(self, images: Range | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Rows of these images, float32 (n, n_features), C-contiguous; in `out`, which may have more rows, if given."""
        which = images if isinstance(images, np.ndarray) else slice(*images)
        n_rows = len(which) if isinstance(which, np.ndarray) else which.stop - which.start
        rows = np.empty((n_rows, self.features.stop - self.features.start), np.float32) if out is None else out[:n_rows]
        self.group.read("activation", image=which, feature=self.features, out=rows)
        if self._moments is not None:
            self._moments.standardise(rows)
        self.nbytes += rows.nbytes
        return rows


def category_codes(options: LayerOptions) -> np.ndarray | None:
    """Category of every image as an integer, or None where categories do not matter."""
    if options.category is None:
        return None
    return np.unique(options.store.images.read(options.category), return_inverse=True)[1]
