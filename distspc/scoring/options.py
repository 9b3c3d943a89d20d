"""How images are scored: how many at once; the numbers do not depend on it."""

from __future__ import annotations

from dataclasses import dataclass

from distspc.distances.new_rows import TILE_NBYTES
from distspc.schedule import Workers


@dataclass(frozen=True)
class ScoreLimits:
    """How much is done at once.

    Attributes
    ----------
    images_per_task
        Most images of a task: each task reads the whole pool once.
    task_nbytes
        Bytes that a task may hold where nothing says how much a worker has.
    tile_nbytes
        Bytes of the pool that are read at a time; two such tiles are in memory.
    page_images
        Most images that a page shows.
    """

    images_per_task: int = 512
    task_nbytes: int = 4 * 2**30
    tile_nbytes: int = TILE_NBYTES
    page_images: int = 60

    def images_at_once(self, image_nbytes: int, workers: Workers) -> int:
        """Images of a task, of which each has so many bytes of activations: those of all layers are in memory."""
        held = (workers.task_memory_nbytes or self.task_nbytes) - 3 * self.tile_nbytes
        return max(1, min(self.images_per_task, held // (2 * max(image_nbytes, 1))))


DEFAULT_LIMITS = ScoreLimits()
