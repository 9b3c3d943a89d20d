"""Which tiles one layer is cut into, how many bytes each task holds and how many are read: plain data.

With T targets, N images in the pool, K features, 4 bytes an activation and memory M for one task, a task holds either

- *whole rows*: all features of its targets, past which its range of images streams in tiles of r images. Bytes held:
  about 4 K (T + 2 r) + 16 T r; tasks: ceil(N / 16,384) or one a worker; bytes read in all: 4 K (N + (R - 1) T) for R
  ranges of images when the targets are part of the pool. Products are float32, close pairs are computed again while
  their rows are in memory;
- *a feature tile*: f features of T targets, past which R images stream, and the (T, R) products in float64. Bytes
  held: about 4 f (T + 2 r) + 8 T R (2 + log2(K / f)). Tasks: ceil(K / f) ceil(N / R) and as many again to add up, find
  candidates and finish; bytes read: 4 K N + 4 K T (ceil(N / R) - 1). The rows are never together in memory, so
  products must be good enough to stand as they are: float64, at half the speed, and only near-duplicates and ties are
  read again.

Whole rows are the choice where they fit and where the targets are not read more often than about once; a layer no wider
than one chunk is always taken in whole rows, by tiles of targets if need be (each tile reads the pool once).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from distspc.distances.options import TileLimits
from distspc.errors import InputError
from distspc.kernels.distance.bounds import PANEL_NBYTES
from distspc.messages import format_nbytes
from distspc.tasks import ranges

Range = tuple[int, int]

DEFAULT_LIMITS = TileLimits()
N_BUFFERS = 2
"""Tiles in memory at once: one that is worked on, one on its way from the store."""
DEFAULT_NBYTES = 4 * 2**30
TREE_FAN_IN = 2
"""Partial products that one task of the tree adds up: of all numbers, two leaves the fewest waiting in memory."""
_THREADS = 8
"""Threads whose working copies are counted; a worker with more of them has more memory than these take, too."""


@dataclass(frozen=True)
class DistancePlan:
    """Tiles of one layer.

    Attributes
    ----------
    targets, images, features
        Ranges of each; one task a combination of them. One range of features means whole rows.
    tile_rows
        Images that are in memory at once.
    task_nbytes
        Bytes that a task holds at most.
    read_nbytes
        Bytes of float32 activations that all tasks read together, pairs that are read again aside.
    """

    targets: tuple[Range, ...]
    images: tuple[Range, ...]
    features: tuple[Range, ...]
    tile_rows: int
    task_nbytes: int
    read_nbytes: int

    @property
    def whole_rows(self) -> bool:
        """Whether a task holds whole rows of its targets."""
        return len(self.features) == 1

    @property
    def n_tasks(self) -> int:
        """Tasks that read activations."""
        return len(self.targets) * len(self.images) * len(self.features)


@dataclass(frozen=True)
class LayerSize:
    """Size of one layer's distances.

    Attributes
    ----------
    layer
        Its name.
    n_targets
        Number of targets: the first images of the table.
    pool
        Range of the images that neighbours come from; it reaches to the end of the table.
    n_features, chunk_rows, chunk_features
        Features of an image; images and features of a chunk.
    """

    layer: str
    n_targets: int
    pool: Range
    n_features: int
    chunk_rows: int
    chunk_features: int

    @property
    def n_images(self) -> int:
        """Number of images, targets and fillers."""
        return self.pool[1]


def plan_distances(
    size: LayerSize, *, memory_nbytes: int | None, n_workers: int = 1, limits: TileLimits = DEFAULT_LIMITS
) -> DistancePlan:
    """Cut one layer's distances into tasks that fit.

    Parameters
    ----------
    size
        Sizes of the layer.
    memory_nbytes
        Bytes that one task may hold; 4 GiB where unknown.
    n_workers
        Tasks that can run at the same time.
    limits
        How large tiles get at most.

    Raises
    ------
    InputError
        If the smallest task does not fit; names what it needs.

    Examples
    --------
    >>> fc2 = LayerSize("fc2", 2222, (0, 10264), 4096, 64, 4096)
    >>> plan = plan_distances(fc2, memory_nbytes=2**30)
    >>> plan.n_tasks, plan.whole_rows
    (1, True)
    >>> block1 = LayerSize("block1_pool", 2222, (0, 10264), 802816, 64, 25088)
    >>> plan = plan_distances(block1, memory_nbytes=2 * 2**30)
    >>> plan.n_tasks, plan.whole_rows, len(plan.images)
    (32, False, 1)
    """
    memory = DEFAULT_NBYTES if memory_nbytes is None else memory_nbytes
    whole = _whole_rows(size, memory, n_workers, limits)
    if whole is not None and (size.n_features <= size.chunk_features or _worthwhile(size, whole, limits)):
        return whole
    tiled = _feature_tiles(size, memory, n_workers, limits) if size.n_features > size.chunk_features else None
    plan = tiled or whole
    if plan is None:
        smallest = smallest_task_nbytes(size, limits)
        raise InputError(
            f"{size.layer}: the smallest distance task needs {format_nbytes(smallest)} of memory and may use "
            f"{format_nbytes(memory)}; give "
            f"the workers more memory (`memory` in the profile) or fewer threads each, which share it"
        )
    return plan


def _whole_rows(size: LayerSize, memory: int, n_workers: int, limits: TileLimits) -> DistancePlan | None:
    rows = _halvings(limits.tile_rows, size.chunk_rows)
    fits = [r for r in rows if _whole_nbytes(size, size.n_targets, r, limits) <= memory]
    # All targets at once if the tiles stay tall enough to multiply well, or else fewer targets.
    tile_rows = fits[0] if fits else rows[-1]
    n_targets = size.n_targets
    while n_targets > 1 and _whole_nbytes(size, n_targets, tile_rows, limits) > memory:
        n_targets = -(-n_targets // 2)
    if _whole_nbytes(size, n_targets, tile_rows, limits) > memory:
        return None
    images = _image_ranges(size, limits.images_per_task, n_workers)
    features: tuple[Range, ...] = ((0, size.n_features),)
    return _plan(size, n_targets, images, features, tile_rows, _whole_nbytes(size, n_targets, tile_rows, limits))


def _worthwhile(size: LayerSize, plan: DistancePlan, limits: TileLimits) -> bool:
    once = 4 * size.n_features * (size.pool[1] - size.pool[0] + size.n_targets * (size.pool[0] > 0))
    return len(plan.targets) == 1 and plan.read_nbytes <= (1 + limits.max_reread_share) * once


def _feature_tiles(size: LayerSize, memory: int, n_workers: int, limits: TileLimits) -> DistancePlan | None:
    n_chunks = -(-size.n_features // size.chunk_features)
    n_images = size.pool[1] - size.pool[0]
    for n_targets in _halvings(size.n_targets, 1):
        for images_per_task in _halvings(min(limits.images_per_task, n_images), size.chunk_rows):
            for tile_rows in _halvings(limits.feature_tile_rows, size.chunk_rows):
                nbytes = _tile_nbytes(size, n_targets, images_per_task, tile_rows, limits)
                if nbytes <= memory:
                    parallel = max(1, n_workers // n_chunks)
                    images = _image_ranges(size, images_per_task, parallel)
                    features = ranges(size.n_features, size.chunk_features)
                    return _plan(size, n_targets, images, features, tile_rows, nbytes)
    return None


def smallest_task_nbytes(size: LayerSize, limits: TileLimits = DEFAULT_LIMITS) -> int:
    """Bytes of the smallest task that a layer can be cut into."""
    if size.n_features <= size.chunk_features:
        return _whole_nbytes(size, 1, size.chunk_rows, limits)
    return _tile_nbytes(size, 1, size.chunk_rows, size.chunk_rows, limits)


def _halvings(largest: int, smallest: int) -> list[int]:
    sizes = [max(largest, smallest)]
    while sizes[-1] > smallest:
        sizes.append(max(-(-sizes[-1] // 2), smallest))
    # Multiples of the chunk, so that no chunk is read by two tiles.
    return [-(-n // smallest) * smallest for n in sizes]


def _image_ranges(size: LayerSize, n_images: int, n_ranges: int) -> tuple[Range, ...]:
    start, stop = size.pool
    n_images = min(n_images, -(-(stop - start) // n_ranges))
    n_images = -(-n_images // size.chunk_rows) * size.chunk_rows
    return tuple((max(a, start), b) for a, b in ranges(stop, n_images) if b > start)


def _whole_nbytes(size: LayerSize, n_targets: int, tile_rows: int, limits: TileLimits) -> int:
    # The targets, tiles, float64 products and those of a panel, copies of panels.
    rows = 4 * size.n_features * (n_targets + N_BUFFERS * tile_rows)
    return rows + 16 * n_targets * tile_rows + _panels(n_targets, tile_rows) + limits.fixed_nbytes


def _tile_nbytes(size: LayerSize, n_targets: int, n_images: int, tile_rows: int, limits: TileLimits) -> int:
    # Products of the task, those that wait on every level of the tree to be added up, and their sum.
    rows = 4 * size.chunk_features * (n_targets + N_BUFFERS * tile_rows)
    n_levels = (-(-size.n_features // size.chunk_features) - 1).bit_length()
    return rows + 8 * (n_levels + 2) * n_targets * n_images + _panels(n_targets, tile_rows) + limits.fixed_nbytes


def _panels(n_targets: int, tile_rows: int) -> int:
    return PANEL_NBYTES * (n_targets + _THREADS * tile_rows)


def _plan(
    size: LayerSize,
    n_targets: int,
    images: tuple[Range, ...],
    features: tuple[Range, ...],
    tile_rows: int,
    nbytes: int,
) -> DistancePlan:
    targets = ranges(size.n_targets, n_targets)
    n_read = sum(t[1] - t[0] + sum(b - a - _length(overlap(t, (a, b))) for a, b in images) for t in targets)
    n_read += sum((t[1] - t[0]) * (len(images) - 1) for t in targets)
    return DistancePlan(
        targets=targets,
        images=images,
        features=features,
        tile_rows=tile_rows,
        task_nbytes=nbytes,
        read_nbytes=4 * size.n_features * n_read,
    )


def _length(part: Range) -> int:
    return part[1] - part[0]


def overlap(a: Range, b: Range) -> Range:
    """What two ranges have in common; empty, within `a`, where there is nothing.

    >>> overlap((2, 5), (0, 4)), overlap((2, 5), (7, 9))
    ((2, 4), (5, 5))
    """
    start, stop = (min(max(edge, a[0]), a[1]) for edge in b)
    return start, stop


def tiles_beside(images: Range, targets: Range, tile_rows: int) -> list[Range]:
    """Tiles of a range of images, but for the targets among them; cut at multiples of `tile_rows` (whole chunks).

    >>> tiles_beside((0, 10), (2, 5), 4)
    [(0, 2), (5, 8), (8, 10)]
    """
    start, stop = images
    cuts = {start, stop, *range(start - start % tile_rows + tile_rows, stop, tile_rows)}
    cuts |= {edge for edge in targets if start < edge < stop}
    return [(a, b) for a, b in pairwise(sorted(cuts)) if not (targets[0] <= a and b <= targets[1])]


def buffer_lengths(tiles: Sequence[Range]) -> list[int]:
    """Rows of the buffers that tiles are read into in turn."""
    return [max(b - a for a, b in tiles)] * min(N_BUFFERS, len(tiles)) if tiles else []
