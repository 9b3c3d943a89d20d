"""Rows of activations that other stores have of the same images: read with their checksums, whole files linked."""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.messages import counted
from distspc.store.group import Group
from distspc.store.store import Store

TAKEN_FROM = "taken_from"
"""Attribute of a layer: names of the stores that its variable ``source`` counts from 0."""


@dataclass(frozen=True)
class Donor:
    """A layer of another store.

    Attributes
    ----------
    store : Store
    layer : str
        What the layer is called there.
    name : str
        What the store is called where it is said from where activations are.
    is_before : bool
        Whether it is the same study before its images changed: whole files are linked instead of copied, and what is
        known there of the source of its rows stays true.
    """

    store: Store
    layer: str
    name: str
    is_before: bool = False

    @property
    def group(self) -> Group:
        """Its activations."""
        return self.store.layer(self.layer)


@dataclass(frozen=True)
class Origin:
    """Where the rows of images are.

    Attributes
    ----------
    donors : tuple of Donor
    donor : np.ndarray
        int16 (image,): position among the donors, -1 where none has the image.
    row : np.ndarray
        int64 (image,): position of the image in that donor.
    """

    donors: tuple[Donor, ...]
    donor: np.ndarray
    row: np.ndarray

    def part(self, images: slice) -> Origin:
        """The same of some images."""
        return Origin(self.donors, self.donor[images], self.row[images])

    def only(self, images: np.ndarray) -> Origin:
        """The same, without the images for which a bool array (image,) does not say so."""
        return Origin(self.donors, np.where(images, self.donor, -1).astype(np.int16), self.row)

    @property
    def known(self) -> np.ndarray:
        """Bool (image,): whether a donor has the image."""
        return np.asarray(self.donor >= 0)

    def by_chunk(self) -> Iterator[tuple[Donor, int, np.ndarray]]:
        """Every donor and chunk of images of it that rows are taken from, with the positions of these images here."""
        for i, donor in enumerate(self.donors):
            images = np.flatnonzero(self.donor == i)
            if images.size:
                chunks = self.row[images] // donor.group.chunks("activation")["image"]
                for chunk in np.unique(chunks).tolist():
                    yield donor, chunk, images[chunks == chunk]


def find_origin(donors: Sequence[Donor], digests: Sequence[str]) -> Origin:
    """Find the rows of images by the digest of their bytes; the first donor that has an image gives it.

    Parameters
    ----------
    donors
        Layers of other stores, whose chunks need not all be there.
    digests
        Of the images.
    """
    found = Origin(tuple(donors), np.full(len(digests), -1, np.int16), np.zeros(len(digests), np.int64))
    for i, donor in enumerate(donors):
        rows = _rows_of(donor)
        at = np.array([rows.get(digest, -1) for digest in digests], np.int64)
        new = ~found.known & (at >= 0)
        found.donor[new], found.row[new] = i, at[new]
    return found


def _rows_of(donor: Donor) -> dict[str, int]:
    """Position of every image of a donor whose chunk is there, by digest."""
    group, digests = donor.group, donor.store.images.read("digest").tolist()
    there = np.repeat(group.done("activation").all(axis=1), group.chunks("activation")["image"])
    return {digest: i for i, digest in enumerate(digests) if digest and there[i]}


def read_rows(
    origin: Origin, digests: Sequence[str], parts: Sequence[tuple[slice, np.ndarray]]
) -> list[tuple[Donor, np.ndarray]]:
    """Read rows of activations into memory, each with its checksum.

    Parameters
    ----------
    origin
        Where they are.
    digests
        Of the images; a donor that has become another store since is noticed by them.
    parts
        Ranges of features, and arrays (image, feature) for them.

    Returns
    -------
    list of tuple
        What could not be read: donor, and positions of the images.
    """
    lost = []
    for donor, chunk, images in origin.by_chunk():
        try:
            _read_chunk(donor, chunk, origin.row[images], [digests[i] for i in images], images, parts)
        except InputError:
            lost.append((donor, images))
    return lost


def _read_chunk(
    donor: Donor,
    chunk: int,
    rows: np.ndarray,
    digests: Sequence[str],
    images: np.ndarray,
    parts: Sequence[tuple[slice, np.ndarray]],
) -> None:
    for features, values in parts:
        values[images] = donor.group.read("activation", image=rows, feature=features)
    # Afterwards: whatever became of the store meanwhile, these were the rows of these images.
    if donor.store.images.read("digest", image=rows).tolist() != list(digests) or not _is_there(donor.group, chunk):
        raise InputError(f"{donor.store} was changed while its activations were read: run the study again")


def _is_there(group: Group, chunk: int) -> bool:
    return bool(group.done("activation")[chunk].all())


def link_rows(group: Group, chunk: int, origin: Origin) -> bool:
    """Make a chunk of images of the very files of a donor, where it is one of its chunks; gives whether it could.

    Parameters
    ----------
    group
        Activations of a layer.
    chunk
        Number of the chunk of images.
    origin
        Of its images, in order; they have been read.
    """
    size, donor = group.chunks("activation")["image"], origin.donors[max(int(origin.donor[0]), 0)]
    whole = len(origin.row) == size or len(origin.row) + int(origin.row[0]) == donor.group.sizes["image"]
    in_order = np.array_equal(origin.row, np.arange(len(origin.row)) + origin.row[0])
    alone = bool((origin.donor == origin.donor[0]).all()) and origin.donor[0] >= 0 and donor.is_before
    if not (alone and whole and in_order and origin.row[0] % size == 0):
        return False
    return _same_layout(group, donor.group) and _link_files(donor.group, int(origin.row[0]) // size, group, chunk)


def _same_layout(group: Group, other: Group) -> bool:
    def layout(one: Group) -> dict[str, Any]:
        known = json.loads((one.path / "activation" / "zarr.json").read_bytes())
        return {key: known[key] for key in ("chunk_grid", "codecs", "data_type", "chunk_key_encoding")}

    return layout(group) == layout(other)


def _link_files(source: Group, from_chunk: int, group: Group, chunk: int) -> bool:
    """Link the files of a chunk of images, each of which appears whole."""
    folder = group.path / "activation" / "c" / str(chunk)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for file in (source.path / "activation" / "c" / str(from_chunk)).iterdir():
            if file.name.isdigit():
                _link(file, folder / file.name)
    except OSError:  # a file system without links, or another one
        return False
    return _is_there(group, chunk)


def _link(file: Path, place: Path) -> None:
    partial = place.with_suffix(f".{uuid.uuid4().hex}.partial")
    os.link(file, partial)
    partial.replace(place)
    partial.unlink(missing_ok=True)  # it stays where the place has a link to the same file already


# ---------------------------------------------------------------- what is said of it


def source_names(group: Group, donors: Sequence[Donor]) -> list[str]:
    """Names that a layer's variable ``source`` counts: those that it has, then those of its donors."""
    known = _names(group) if group.exists() else []
    told = [name for donor in donors if donor.is_before for name in _names(donor.group)]
    return list(dict.fromkeys([*known, *told, *(donor.name for donor in donors if not donor.is_before)]))


def sources_of(group: Group, origin: Origin, taken: np.ndarray) -> np.ndarray:
    """Values of a layer's variable ``source`` for some images.

    Parameters
    ----------
    group
        The layer, with its attribute of names.
    origin
        Of the images.
    taken
        Bool (image,): whether the row was taken from its donor.

    Returns
    -------
    np.ndarray
        int16 (image,).
    """
    names, found = _names(group), np.full(len(taken), -1, np.int16)
    for i, donor in enumerate(origin.donors):
        images = np.flatnonzero(taken & (origin.donor == i))
        if images.size and not donor.is_before:
            found[images] = names.index(donor.name)
        elif images.size and donor.group.has("source"):
            number = np.array([*map(names.index, _names(donor.group)), -1], np.int16)  # -1 stays
            found[images] = number[donor.group.read("source", image=origin.row[images])]
    return found


def taken_from(group: Group) -> Mapping[str, int]:
    """Count the images of a layer whose activations were taken from another store, by its name."""
    if not (group.exists() and group.has("source")):
        return {}
    names, counts = _names(group), Counter(group.read("source").tolist())
    return {name: counts[i] for i, name in enumerate(names) if counts[i]}


def taken_in_words(group: Group) -> str:
    """Say how many images' activations were taken from which stores; empty where none were.

    Examples
    --------
    ``8,000 images from other.zarr, 225 computed``
    """
    counts = taken_from(group)
    if not counts:
        return ""
    n_computed = group.sizes["image"] - sum(counts.values())
    taken = [f"{counted(n, 'image')} from {name}" for name, n in counts.items()]
    return ", ".join([*taken, f"{n_computed:,} computed"])


def _names(group: Group) -> list[str]:
    return list(group.attributes.get(TAKEN_FROM, ()))
