"""In what the images of a study differ from those that a store was made from: told by the digest of their bytes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from distspc.images.listing import ImageRecord
from distspc.messages import counted


@dataclass(frozen=True)
class Changes:
    """What became of the images of a store.

    Attributes
    ----------
    new, gone, renamed, changed, other_role, other_category : tuple of str
        A clause for each image: files that are new, bytes that are gone, the same bytes under another name, other bytes
        under the same name, targets that became fillers or fillers targets, images of another category.
    reordered : bool
        Whether images that keep their names stand in another order.
    n_kept : int
        Images of the store that the study still has.
    n_known : int
        Images of the study whose bytes the store has: those kept, and new ones that are identical to them.
    """

    new: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    renamed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    other_role: tuple[str, ...] = ()
    other_category: tuple[str, ...] = ()
    reordered: bool = False
    n_kept: int = 0
    n_known: int = 0

    def __bool__(self) -> bool:
        return bool(self.details) or self.reordered

    @property
    def details(self) -> list[str]:
        """A clause for every image that differs."""
        return [
            *self.gone, *self.new, *self.changed, *self.renamed, *self.other_role, *self.other_category
        ]  # fmt: skip

    @property
    def named(self) -> str:
        """The first few clauses, and how many more there are."""
        more = f" and {len(self.details) - 5} more" if len(self.details) > 5 else ""
        return ("; ".join(self.details[:5]) or "they are in another order") + more

    @property
    def counts(self) -> str:
        """How many images differ in what, such as ``37 new, 2 gone, 1 renamed``; empty where none does."""
        found = {
            "new": self.new,
            "gone": self.gone,
            "renamed": self.renamed,
            "changed": self.changed,
            "of another role": self.other_role,
            "of another category": self.other_category,
        }
        words = [f"{len(images):,} {word}" for word, images in found.items() if images]
        return ", ".join([*words, *(["in another order"] if self.reordered else [])])

    def as_dict(self) -> dict[str, Any]:
        """The counts, by what they count."""
        return {
            "kept": self.n_kept,
            "new": len(self.new),
            "gone": len(self.gone),
            "renamed": len(self.renamed),
            "changed": len(self.changed),
            "other_role": len(self.other_role),
            "other_category": len(self.other_category),
            "reordered": self.reordered,
        }

    @property
    def sentence(self) -> str:
        """What differs, and what `--update` keeps."""
        return f"{self.counts}: --update keeps the activations of {self._n_kept_images}"

    @property
    def kept(self) -> str:
        """What differed, and what was kept."""
        return f"{self.counts}; the activations of {self._n_kept_images} were kept"

    @property
    def _n_kept_images(self) -> str:
        return counted(self.n_kept, "image")


def find_changes(
    old: Sequence[ImageRecord], new: Sequence[ImageRecord], reasons: Mapping[str, str | None] | None = None
) -> Changes:
    """Compare two lists of images that can be used.

    An image is the same where its name and its bytes are, or else where its bytes are; of several files with the same
    bytes, those of the same name go together first, then the others in their order.

    Parameters
    ----------
    old
        Images of the store, in order.
    new
        Images of the study, in order.
    reasons
        By file, why it cannot be used now.

    Returns
    -------
    Changes
    """
    origin = match_images(old, new)
    known, taken = {record.digest for record in old}, {at for at in origin if at is not None}
    pairs = [(old[at], record) for at, record in zip(origin, new, strict=True) if at is not None]
    lost = {record.image: record for at, record in enumerate(old) if at not in taken}
    others = [record for at, record in zip(origin, new, strict=True) if at is None]
    changed = [record for record in others if record.image in lost]
    same = {record.image for record in changed}
    found = reasons or {}
    moved = [(a, b) for a, b in pairs if a.image != b.image]
    kept = [at for at, record in zip(origin, new, strict=True) if at is not None and old[at].image == record.image]
    return Changes(
        new=tuple(f"{r.image} ({r.file}) is new" for r in others if r.image not in same),
        gone=tuple(
            f"{i} ({r.file}) {found.get(r.file) or 'no longer exists'}" for i, r in lost.items() if i not in same
        ),
        renamed=tuple(f"{a.image} is now {b.image} ({b.file})" for a, b in moved if a.role == b.role),
        changed=tuple(f"{r.image} ({r.file}) has changed" for r in changed),
        other_role=tuple(f"{a.image} is now {b.image} ({b.file})" for a, b in moved if a.role != b.role),
        other_category=tuple(f"{b.image} has another category" for a, b in pairs if a.category != b.category),
        reordered=kept != sorted(kept),
        n_kept=len(pairs),
        n_known=sum(record.digest in known for record in new),
    )


def match_images(old: Sequence[ImageRecord], new: Sequence[ImageRecord]) -> list[int | None]:
    """Find the position in the old list of every image of the new one, each at most once; None where it has none."""
    at = {(record.image, record.digest): i for i, record in enumerate(old)}
    origin = [at.get((record.image, record.digest)) for record in new]
    free: defaultdict[str, list[int]] = defaultdict(list)
    taken = set(origin)
    for i in reversed(range(len(old))):
        if i not in taken and old[i].digest:
            free[old[i].digest].append(i)
    return [_next(free, record.digest) if i is None else i for i, record in zip(origin, new, strict=True)]


def _next(free: Mapping[str, list[int]], digest: str) -> int | None:
    positions = free.get(digest)
    return positions.pop() if positions else None
