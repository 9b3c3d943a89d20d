"""What the tasks of distances share: settings, results, memory for rows, reading, checks of activations, threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from distspc import store as zarr_store
from distspc.distance_plan import Range
from distspc.errors import InputError
from distspc.kernels.candidates import Pairs, scales
from distspc.kernels.rows import RowStatistics
from distspc.store import StorePath


@dataclass(frozen=True)
class Settings:
    """What a distance task is told beside its ranges.

    Attributes
    ----------
    store, layer
        Where the activations are.
    metric, n_neighbours, drop_zero
        What counts as near: distance, how many, whether exact duplicates do not count.
    category
        Column of the image table that pairs must share, or None.
    n_threads
        Threads of the matrix products and of the work around them; None: those BLAS is set to.
    """

    store: StorePath
    layer: str
    metric: str
    n_neighbours: int
    drop_zero: bool
    category: str | None
    n_threads: int | None


@dataclass(frozen=True)
class TileResult:
    """What one tile of targets x images leaves; positions are those of the image table.

    Attributes
    ----------
    targets, images
        The ranges that the tile covers.
    pairs
        Pairs that may be among the nearest.
    exact
        Whether `pairs.square` is the exact distance, or else an estimate of its square.
    pool_sum, pool_count
        Sum and number of distances to the images of the tile, (n_targets,).
    norm, digest
        Euclidean norm and digest of each image of the tile, (n_images,).
    target_norm, target_digest
        The same of the targets.
    n_rescored, read_nbytes
        Pairs computed again in float64; bytes of activations read.
    """

    targets: Range
    images: Range
    pairs: Pairs
    exact: bool
    pool_sum: np.ndarray
    pool_count: np.ndarray
    norm: np.ndarray
    digest: np.ndarray
    target_norm: np.ndarray
    target_digest: np.ndarray
    n_rescored: int
    read_nbytes: int


_spare: list[np.ndarray] = []
"""Memory of the last task's rows, for the next one: the system clears new memory first, which can take longer than
reading what goes there."""


@contextmanager
def row_memory(lengths: Sequence[int], n_features: int) -> Iterator[list[np.ndarray]]:
    """Float32 arrays (length, n_features) with any content, in the memory of the last task if it took as much."""
    shape = (sum(lengths), n_features)
    memory = _take_spare()
    if memory is None or memory.shape != shape:
        memory = None  # before there is new memory
        memory = np.empty(shape, np.float32)
    yield np.split(memory, np.cumsum(lengths)[:-1])
    _spare.append(memory)


def _take_spare() -> np.ndarray | None:
    try:
        return _spare.pop()
    except IndexError:
        return None


def release() -> None:
    """Give back the memory that distance tasks keep in this process for the next one."""
    _spare.clear()


class Reader:
    """Reads activations of one layer as float32 and counts the bytes."""

    def __init__(self, settings: Settings, features: Range) -> None:
        self.settings, self.features, self.nbytes = settings, features, 0

    def __call__(self, images: Range | np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        """Rows of these images, float32 (n, n_features), C-contiguous; in `out`, which may have more rows, if given."""
        which = images if isinstance(images, np.ndarray) else slice(*images)
        n_rows = len(which) if isinstance(which, np.ndarray) else which.stop - which.start
        rows = np.empty((n_rows, self.features[1] - self.features[0]), np.float32) if out is None else out[:n_rows]
        group, features = f"activations/{self.settings.layer}", slice(*self.features)
        zarr_store.read(self.settings.store, group, "activation", image=which, feature=features, out=rows)
        self.nbytes += rows.nbytes
        return rows


_blas_lock = threading.Lock()
_blas_users: list[int] = []


@contextmanager
def single_threaded_blas(n_threads: int | None) -> Iterator[int]:
    """Context in which BLAS runs on one thread; gives the number of threads of our own to use instead.

    Threads that each multiply their part of the rows, and do what stands around the products too, beat a BLAS that
    starts threads product by product (and keeps them spinning in between).
    """
    from threadpoolctl import ThreadpoolController

    blas = ThreadpoolController().select(user_api="blas")
    with _blas_lock:
        # What the worker was given on purpose (OMP_NUM_THREADS and its like) is what BLAS came up with. Tasks that
        # run at the same time share it: the first lowers it, the last puts it back.
        _blas_users.append(
            _blas_users[-1] if _blas_users else max([c.num_threads for c in blas.lib_controllers] or [1])
        )
        for library in blas.lib_controllers:
            library.set_num_threads(1)
    try:
        yield n_threads or _blas_users[-1]
    finally:
        with _blas_lock:
            threads = _blas_users.pop()
            if not _blas_users:
                for library in blas.lib_controllers:
                    library.set_num_threads(threads)


def check_rows(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose activations are not finite or cannot be scaled."""
    bad = ~np.isfinite(statistics.square)
    if bad.any():
        raise InputError(
            f"{settings.layer}: NaN or infinite activations of {_named(settings, images, bad)}; extract these images "
            "again, or leave them out"
        )
    if settings.metric != "euclidean":
        check_scales(settings, statistics, images)


def check_scales(settings: Settings, statistics: RowStatistics, images: Range) -> None:
    """Raise InputError naming images whose whole rows have no norm (cosine) or no variance (correlation)."""
    bad = scales(statistics, settings.metric) == 0
    if bad.any():
        lacking = "are all 0" if settings.metric == "cosine" else "do not vary (or next to nothing, beside their mean)"
        raise InputError(
            f"{settings.layer}: the activations of {_named(settings, images, bad)} {lacking}, so that "
            f"{settings.metric} distance is not defined; use metric euclidean, or leave these images out"
        )


def _named(settings: Settings, images: Range, bad: np.ndarray) -> str:
    known = zarr_store.labels(settings.store, "images", "image")
    names = [str(known[images[0] + i]) for i in np.flatnonzero(bad)]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"image{'s' if len(names) > 1 else ''} {', '.join(names[:10])}{more}"


def category_codes(settings: Settings) -> np.ndarray | None:
    """Category of every image as an integer, or None where categories do not matter."""
    if settings.category is None:
        return None
    return np.unique(zarr_store.read(settings.store, "images", settings.category), return_inverse=True)[1]


def pair_groups(codes: np.ndarray | None, targets: Range, images: Range) -> tuple[np.ndarray, np.ndarray] | None:
    """Codes of rows and columns of a tile, for `sieve`."""
    return None if codes is None else (codes[slice(*targets)], codes[slice(*images)])


def own_columns(targets: Range, images: Range) -> np.ndarray:
    """Column of a tile that holds each target itself, -1 where none does."""
    position = np.arange(*targets)
    return np.where((position >= images[0]) & (position < images[1]), position - images[0], -1)
