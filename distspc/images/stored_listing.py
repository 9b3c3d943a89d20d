"""The images that wait to be looked at: tasks name a range of them, and workers read it from the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from distspc.images.listing import ImageSource
from distspc.store.format.chunks import ROWS_PER_CHUNK
from distspc.store.store import Store

_COLUMNS = ("image", "role", "number", "file")


class Listing:
    """Images in memory, for tasks in this process; one that goes to another process is written to the store first.

    The paths of a million images are 100 MiB, more than should go through a scheduler.

    Parameters
    ----------
    store
        The store; it is written when tasks are sent to workers, not before.
    sources
        The images.
    """

    def __init__(self, store: Store, sources: Sequence[ImageSource]) -> None:
        self.store, self.sources = store, sources
        self._is_stored = False

    def part(self, start: int, stop: int) -> Sequence[ImageSource]:
        """Images from `start` up to `stop`."""
        return self.sources[start:stop]

    def __reduce__(self) -> tuple[Any, ...]:
        if not self._is_stored:
            self._write()
            self._is_stored = True
        return StoredListing, (self.store,)

    def _write(self) -> None:
        group, n = self.store.listing, len(self.sources)
        group.remove()  # what a killed run left of it
        group.allocate(coords={"listed": n}, chunks={"listed": min(ROWS_PER_CHUNK, n)}, recipe={})
        for name, values in zip(_COLUMNS, zip(*(source[:4] for source in self.sources), strict=True), strict=True):
            group.write(name, values)


@dataclass(frozen=True)
class StoredListing:
    """The same on a worker: the images are read from the store, without the columns of the user's table."""

    store: Store

    def part(self, start: int, stop: int) -> Sequence[ImageSource]:
        """Images from `start` up to `stop`."""
        rows = (self.store.listing.read(name, listed=slice(start, stop)).tolist() for name in _COLUMNS)
        return [ImageSource(*row) for row in zip(*rows, strict=True)]
