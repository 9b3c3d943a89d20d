"""A store that is to take another's place: made beside it, put there whole by two renames that the next run completes.

Whoever reads meanwhile has the old store or the new one: `read_whole` waits between the renames, and reads again what
it has read of both.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from distspc.errors import StoreBusyError
from distspc.store.store import Store

T = TypeVar("T")

PATIENCE_S = 20.0
"""How long readers wait for a store that is being put into its place."""


def staged_store(store: Store) -> Store:
    """Return the store that is made to take another's place; there or not."""
    return Store(_beside(store, "update"))


def earlier_store(store: Store) -> Store:
    """Return a store that was being made to take another's place, when its images changed again; there or not."""
    return Store(_beside(store, "update-before"))


def _replaced(store: Store) -> Path:
    """Where a store is put before another takes its place."""
    return _beside(store, "replaced")


def _beside(store: Store, ending: str) -> Path:
    """A folder on the same disk, also where the store is a link."""
    path = Path(os.path.realpath(store.path))
    return path.with_name(f"{path.name}.{ending}")


def put_in_place(store: Store) -> None:
    """Put the staged store into the place of a store, and remove this; hold its lock."""
    place, replaced = Path(os.path.realpath(store.path)), _replaced(store)
    remove_tree(replaced)
    os.rename(place, replaced)
    os.rename(staged_store(store).path, place)
    remove_tree(replaced)
    remove_tree(earlier_store(store).path)


def is_half_replaced(store: Store) -> bool:
    """Whether a run was stopped while it put a store into the place of another."""
    return _replaced(store).exists()


def complete_replacement(store: Store) -> None:
    """Complete what a run that was stopped has begun to put in place; hold the store's lock."""
    place, replaced = Path(os.path.realpath(store.path)), _replaced(store)
    if not replaced.exists():
        return
    if not place.exists():
        staged = staged_store(store).path
        os.rename(staged if staged.exists() else replaced, place)
    remove_tree(replaced)


def remove_tree(path: Path) -> None:
    """Delete a folder, if it is there."""
    if path.exists():
        shutil.rmtree(path)


# ---------------------------------------------------------------- readers


def read_whole(store: Store, read: Callable[[], T]) -> T:
    """Read a store that another may take the place of at any time: of one of them alone.

    Parameters
    ----------
    store
        The store.
    read
        Reads it; called again where the store was another one afterwards.

    Raises
    ------
    StoreBusyError
        If a run was stopped while it put a new store in place.
    """
    while True:
        before = _identity(store)
        try:
            found = read()
        except Exception:
            if _identity(store) == before:
                raise
            continue
        if _identity(store) == before:
            return found


def _identity(store: Store) -> tuple[int, int] | None:
    """What tells a store from one that takes its place; None where there is none, nor one to come."""
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            status = os.stat(store.path)
            return status.st_dev, status.st_ino
        except FileNotFoundError:
            if not is_half_replaced(store):
                return None
        if time.monotonic() > end:
            raise StoreBusyError(
                f"{store} was being replaced by an updated store when its run was stopped: "
                "run `distspc run STUDY.yaml` to complete this"
            )
        time.sleep(0.02)
