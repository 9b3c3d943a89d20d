"""Which tiles one layer is cut into, how many bytes each task holds and how many are read: plain data.

With T targets, N images in the pool, K features, 4 bytes an activation, a task holds either

- *whole rows*: all features of t targets, past which a range of images streams in tiles of r images. Bytes held: about
  4 K (t + 2 r) + 16 t r. Close pairs are computed again while their rows are in memory. Every range of images reads
  the targets again, every range of targets the images: for a ranges of the ones and b of the others, 4 K (b T + a N)
  bytes in all, less the targets where they are part of the pool;
- *a feature tile*: f features of t targets, past which w images stream, and the (t, w) sums of their products in
  float64. Bytes held: about 4 f (t + 2 r) + 8 t w (2 + log2(K / f)). Tasks: ceil(K / f) for every range of targets and
  images, as many again to add up, and one to find candidates; whole rows are read once more, of the targets and of what
  may be their nearest: 4 K (b T + a N) + 4 K T (1 + k) bytes in all.

`distspc.distances.planning.cost` says what each takes, `distspc.distances.planning.cuts` chooses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

from distspc.distances.options import TileLimits
from distspc.kernels.distance.bounds import PANEL_NBYTES
from distspc.kernels.distance.rows import BLOCK
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
    n_neighbours
        How many neighbours of a target are wanted.
    """

    layer: str
    n_targets: int
    pool: Range
    n_features: int
    chunk_rows: int
    chunk_features: int
    n_neighbours: int = 1

    @property
    def n_images(self) -> int:
        """Number of images, targets and fillers."""
        return self.pool[1]

    @property
    def n_pool(self) -> int:
        """Number of images that neighbours come from."""
        return self.pool[1] - self.pool[0]

    @property
    def chunks_of_features(self) -> int:
        """Number of chunks that a row reaches over."""
        return -(-self.n_features // self.chunk_features)

    def whole_chunks(self, n_images: int) -> int:
        """The number of images up to the next edge of a chunk."""
        return -(-n_images // self.chunk_rows) * self.chunk_rows


@dataclass(frozen=True)
class DistancePlan:
    """How one layer is cut into tasks.

    Attributes
    ----------
    size
        Size of the layer.
    n_targets, n_images, n_features
        Most of each in a task. Where the pool begins with all of a task's targets, these are multiplied with each other
        in half the work, and their range has as many images more.
    tile_rows
        Images that are in memory at once.
    n_settled
        Targets of which one task settles the neighbours, once all their images have been looked at.
    limits
        What it was made with.
    """

    size: LayerSize
    n_targets: int
    n_images: int
    n_features: int
    tile_rows: int
    n_settled: int
    limits: TileLimits = DEFAULT_LIMITS

    @property
    def whole_rows(self) -> bool:
        """Whether a task holds whole rows of its targets."""
        return self.n_features >= self.size.n_features

    @cached_property
    def targets(self) -> tuple[Range, ...]:
        """Ranges of targets."""
        return ranges(self.size.n_targets, self.n_targets)

    @cached_property
    def images(self) -> tuple[Range, ...]:
        """Ranges of images; they meet at edges of chunks."""
        start, stop = self.size.pool
        edges = [start, *range(self._first_edge + self.n_images, stop, self.n_images), stop]
        return tuple(pairwise(edges))

    @cached_property
    def features(self) -> tuple[Range, ...]:
        """Ranges of features; one means whole rows."""
        return ranges(self.size.n_features, self.n_features)

    @cached_property
    def settled(self) -> tuple[Range, ...]:
        """Ranges of targets whose neighbours are settled together; none where every tile has done that by itself."""
        if self.whole_rows and len(self.images) == 1:
            return ()
        return tuple((a + b, a + c) for a, end in self.targets for b, c in ranges(end - a, self.n_settled))

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Number of ranges: of targets, images, features, and of targets settled together; without making them."""
        size = self.size
        n_targets, rest = divmod(size.n_targets, self.n_targets)
        n_images = -(-(size.pool[1] - self._first_edge) // self.n_images)
        n_settled = n_targets * -(-self.n_targets // self.n_settled) + -(-rest // self.n_settled)
        n_features = -(-size.n_features // self.n_features)
        settles = n_images > 1 or n_features > 1
        return n_targets + (rest > 0), max(1, n_images), n_features, n_settled if settles else 0

    @property
    def n_tasks(self) -> int:
        """Tasks that read activations."""
        n_targets, n_images, n_features, n_settled = self.counts
        tiles = n_targets * n_images * n_features
        return tiles if self.whole_rows else tiles + n_settled

    @property
    def _first_edge(self) -> int:
        start, chunk = self.size.pool[0], self.size.chunk_rows
        return start // chunk * chunk + n_halved(self.size, self)

    @property
    def task_nbytes(self) -> int:
        """Bytes that a task holds at most."""
        return task_nbytes(self)

    @property
    def read_nbytes(self) -> int:
        """Bytes of float32 activations that all tasks read together; more where many pairs are too close to tell."""
        parts = [(t, i) for t in self.targets for i in self.images]
        rows = sum(_length(t) + _length(i) - _length(overlap(t, i)) for t, i in parts)
        return 4 * self.size.n_features * rows + self.settled_nbytes

    @property
    def settled_nbytes(self) -> int:
        """Bytes of these that are read again to settle neighbours: none of whole rows."""
        return 0 if self.whole_rows else 4 * self.size.n_features * sum(map(self.rows_settled, self.settled))

    def rows_settled(self, targets: Range) -> int:
        """Rows that are read again to settle the neighbours of some targets, where each has few that may be nearest."""
        n = _length(targets)
        return n + min(n * self.size.n_neighbours, self.size.n_pool)


def n_halved(size: LayerSize, plan: DistancePlan) -> int:
    """Images that cost nothing more, as targets are multiplied with each other in half the work."""
    half = size.whole_chunks(size.n_targets // 2)
    return half if size.pool[0] == 0 and plan.n_targets >= size.n_targets and plan.n_images >= half else 0


def task_nbytes(plan: DistancePlan) -> int:
    """Bytes that the largest task of a plan holds."""
    size, n_targets, rows, limits = plan.size, plan.n_targets, plan.tile_rows, plan.limits
    held = 4 * plan.n_features * (n_targets + N_BUFFERS * rows) + limits.fixed_nbytes
    held += PANEL_NBYTES * (n_targets + _THREADS * rows)  # copies of panels
    if plan.whole_rows:
        return held + 16 * n_targets * rows  # float64 products of a tile, and those of a panel
    # Products of the task, those that wait on every level of the tree to be added up, and their sum; sums of rows.
    n_levels = (plan.counts[2] - 1).bit_length()
    n_images = min(plan.n_images + n_halved(size, plan), size.whole_chunks(size.n_pool))
    sums = 8 * (size.n_features // BLOCK + 1) * (n_targets + n_images)
    return held + 8 * (n_levels + 2) * n_targets * n_images + 4 * n_targets * rows + sums


def smallest_plan(size: LayerSize, limits: TileLimits = DEFAULT_LIMITS) -> DistancePlan:
    """The plan whose tasks are as small as they get."""
    return DistancePlan(size, 1, size.chunk_rows, min(size.chunk_features, size.n_features), size.chunk_rows, 1, limits)


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
