"""The image table of a store: files looked at as Dask tasks, good ones listed, bad ones named with their reason."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError, StoreMismatchError
from distspc.images.changes import Changes, find_changes
from distspc.images.listing import (
    ImageRecord,
    ImageSource,
    beside_images,
    category_of,
    digest_image,
    escape_all,
    escape_undecodable,
    file_signature,
    file_signatures,
    inspect_image,
)
from distspc.images.pixels import REMARKS
from distspc.images.stored_listing import Listing, StoredListing
from distspc.io.csv_tables import LONGEST_NAME, safe_names
from distspc.io.files import digest_of
from distspc.messages import counted
from distspc.store.format.chunks import ROWS_PER_CHUNK
from distspc.store.format.schema import IMAGES, variables
from distspc.store.group import Group
from distspc.store.notices import Notice, keep_notices
from distspc.store.store import Store
from distspc.tasks import ranges, task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)

FILES_PER_TASK = 64
_SKIPPED = ("file", "role", "number", "reason", "nbytes", "modified")
_IMAGES = ("role", "number", "file", "width", "height", "digest", "nbytes", "category", "modified")  # this last: whole
_Records = Mapping[str, ImageRecord]
"""Records by path, as the store has it."""
_LEAST_READERS = 4


def scan_images(
    store: Store, sources: Sequence[ImageSource], *, strict: bool = False, others: Sequence[Store] = ()
) -> list[Delayed]:
    """Build the tasks that look at images: read each once, decode it to be sure, digest it.

    Files whose size and time of change are as in the store are left out.

    Parameters
    ----------
    store
        Path of the store.
    sources
        The images, as `list_images` and `read_image_table` list them.
    strict
        A bad image is an error, not a row with a reason.
    others
        Stores that may know files, where this one does not.

    Returns
    -------
    list of Delayed
        Each gives records of `inspect_image`; `write_images` takes them. Empty if nothing changed.

    Raises
    ------
    InputError
        If `strict`, and a file's name alone says that it cannot be used.
    """
    known = _known_records(store, others)
    waiting = [s for s in sources if s.problem is None and not _unchanged(s, known)]
    for source in sources:
        if strict and source.problem is not None:
            raise InputError(_describe(inspect_image(source)))
    token = tokenize(str(store), [(s.id, s.file, file_signature(s.file)) for s in waiting], strict)
    listing = Listing(store, waiting)
    return [
        task(partial(_scan_batch, listing, start, stop, strict), traverse=False)(
            dask_key_name=task_key("scan", "", token, i)
        )
        for i, (start, stop) in enumerate(ranges(len(waiting), FILES_PER_TASK))
    ]


def write_images(
    store: Store,
    sources: Sequence[ImageSource],
    records: Iterable[Sequence[ImageRecord]],
    *,
    strict: bool = False,
    others: Sequence[Store] = (),
) -> None:
    """Write the image table (group ``images``) and the list of bad files (group ``skipped``), or check them.

    Good images alone are in the table, targets first, so that later stages have no holes.

    Parameters
    ----------
    store
        Path of the store.
    sources
        All images of the study.
    records
        Results of the tasks of `scan_images`.
    strict
        A bad image is an error.
    others
        Stores that may know files, as for `scan_images`.

    Raises
    ------
    StoreMismatchError
        If the store holds results of other images; names the first that differ.
    InputError
        If no target can be used; or if `strict`, and an image is bad.
    """
    known = _stored_records(store)
    scanned = {record.file: record for part in records for record in part}
    good, bad = _good_and_bad(sources, {**_known_records(store, others), **scanned})
    if strict and bad:
        raise InputError(_describe(bad[0]))
    if not any(record.role == "target" for record in good):
        first = f"; the first: {_describe(bad[0])}" if bad else ": all are fillers; give some the role target"
        raise InputError(f"none of the {counted(len(sources), 'image')} can be used as a target{first}")
    old_bad = [record for record in known.values() if record.reason is not None]
    old_good = [record for record in known.values() if record.reason is None]
    if known:
        _refuse_changes(store, known, good, bad)
    if not known or _columns(bad, _SKIPPED) != _columns(old_bad, _SKIPPED):
        _write_skipped(store, bad)
    if not known or good != old_good:
        _write_table(store, good, new=not known)
    if scanned:
        store.listing.remove()
    write_extra_columns(store, sources)


def write_extra_columns(store: Store, sources: Sequence[ImageSource]) -> None:
    """Keep, with the image table, the columns of the user's own table that have changed.

    Parameters
    ----------
    store
        The store, with its image table.
    sources
        All images of the study.
    """
    if extra_columns(sources[:1]):
        usable = set(store.images.labels("image"))
        for name, values in extra_columns([source for source in sources if source.id in usable]).items():
            store.images.write_column("image", name, values)


def same_images(store: Store, sources: Sequence[ImageSource]) -> bool:
    """Whether the table is of exactly these images, none of them changed; a million are compared without records.

    Parameters
    ----------
    store
        The store.
    sources
        All images of the study.
    """
    if not table_is_whole(store):
        return False
    skipped = _skipped_rows(store)
    usable = [s for s in sources if not _is_skipped(s, skipped)] if skipped else sources
    if len(sources) - len(usable) != len(skipped) or len(usable) != store.images.sizes["image"]:
        return False
    files = [source.file for source in usable]
    with_columns = any(source.columns for source in usable)
    columns = {
        "image": [source.id for source in usable],
        "role": [source.role for source in usable],
        "number": [source.number for source in usable],
        "file": list(escape_all(files)),
        "category": list(map(category_of, usable)) if with_columns else [""] * len(usable),
    }
    if any(store.images.read(name).tolist() != values for name, values in columns.items()):
        return False
    nbytes, modified = np.array(file_signatures(files), dtype=np.int64).T
    known = (store.images.read(name) for name in ("nbytes", "modified"))
    return all(map(np.array_equal, known, (nbytes, modified)))


def _skipped_rows(store: Store) -> dict[str, list[Any]]:
    """Role, number and signature of the files that could not be used, by path."""
    if not store.skipped.exists():
        return {}
    names = ("file", "role", "number", "nbytes", "modified")
    return {file: row for file, *row in zip(*(store.skipped.read(name).tolist() for name in names), strict=True)}


def _is_skipped(source: ImageSource, skipped: Mapping[str, Sequence[Any]]) -> bool:
    row = skipped.get(escape_undecodable(source.file))
    return row is not None and row == [source.role, source.number, *file_signature(source.file)]


def refuse_other_images(store: Store, sources: Sequence[ImageSource]) -> None:
    """Compare the images of a study with those that the store was made from; only changed or moved files are read.

    Parameters
    ----------
    store
        Path of the store; one without an image table holds no other images.
    sources
        All images of the study.

    Raises
    ------
    StoreMismatchError
        If the store holds results of other images; counts how they differ, and names the first.
    """
    known = _stored_records(store)
    if known:
        _refuse_changes(store, known, *_good_and_bad(sources, _looked_at(sources, known, inspect_image)))


def image_changes(store: Store, sources: Sequence[ImageSource]) -> Changes:
    """Say in what the images of a study differ from those of a store; files that the store does not know are read.

    These are not decoded: one that cannot be used counts as new.

    Parameters
    ----------
    store
        The store, with its image table.
    sources
        All images of the study.
    """
    known = _stored_records(store)
    good, _ = _good_and_bad(sources, _looked_at(sources, known, digest_image))
    return find_changes([record for record in known.values() if record.reason is None], good)


def table_changes(store: Store, other: Store) -> Changes:
    """Say in what the image table of a store differs from that of another one, which came before it."""
    before, now = (
        [record for record in _stored_records(one).values() if record.reason is None] for one in (other, store)
    )
    return find_changes(before, now)


def same_skipped(store: Store, other: Store) -> bool:
    """Whether two stores name the same files that cannot be used."""
    names = ("file", "role", "reason")
    rows = [
        [one.skipped.read(name).tolist() for name in names] if one.skipped.exists() else [] for one in (store, other)
    ]
    return rows[0] == rows[1]


def _looked_at(
    sources: Sequence[ImageSource], known: _Records, look: Callable[[ImageSource], ImageRecord]
) -> dict[str, ImageRecord]:
    """Records of files as they are: those known, and others as they are looked at now, several at once."""
    files = {escape_undecodable(source.file) for source in sources if _unchanged(source, known)}
    others = [source for source in sources if escape_undecodable(source.file) not in files]
    with ThreadPoolExecutor(max(_LEAST_READERS, os.cpu_count() or 1)) as pool:
        found = pool.map(look, others)
    return {file: known[file] for file in files} | {record.file: record for record in found}


def note_folders(store: Store, folders: Iterable[str | os.PathLike[str]]) -> None:
    """Log and keep, with group ``images``, what the folders of a study hold beside the images that are taken.

    Parameters
    ----------
    store
        Path of the store, with its image table.
    folders
        The folders, none of them for an image table.
    """
    notices = [notice for folder in folders for notice in overlooked(folder)]
    keep_notices(store.images, "folders", notices)
    _log(notices)


def overlooked(folder: str | os.PathLike[str]) -> list[Notice]:
    """Say what a folder of images holds that is not taken.

    Parameters
    ----------
    folder
        The folder.

    Returns
    -------
    list of Notice
        A warning where these are images, or may be.
    """
    try:
        found = beside_images(folder)
    except OSError:  # gone since it was listed
        return []
    sentences = [(text + (f"; to take them, {way_out}" if way_out else ""), bool(way_out)) for text, way_out in found]
    return [
        Notice(f"Folder {escape_undecodable(os.fspath(folder))!r}: not taken: {text}.", warning)
        for text, warning in sentences
    ]


def _log(notices: Iterable[Notice]) -> None:
    for notice in notices:
        logger.log(logging.WARNING if notice.warning else logging.INFO, "%s", notice.text)


def skipped_images(store: Store) -> list[tuple[str, str]]:
    """Files that could not be used.

    Parameters
    ----------
    store
        Path of the store.

    Returns
    -------
    list of tuple of str
        Path and reason.
    """
    if not store.skipped.exists():
        return []
    files, reasons = (store.skipped.read(name).tolist() for name in ("file", "reason"))
    return list(zip(files, reasons, strict=True))


def images_digest(store: Store) -> str:
    """Digest of the whole image table: ids and digests of all images in order.

    Parameters
    ----------
    store
        Path of the store.

    Returns
    -------
    str
        ``sha256:...``; empty where the table was not made from files.

    Raises
    ------
    InputError
        If there is no image table yet.
    """
    return str(store.images.attributes.get("recipe", {}).get("images", ""))


# ---------------------------------------------------------------- looking


def _scan_batch(listing: Listing | StoredListing, start: int, stop: int, strict: bool) -> list[ImageRecord]:
    """Task: records of some images."""
    records = []
    for source in listing.part(start, stop):
        record = inspect_image(source)
        if strict and record.reason is not None:
            raise InputError(_describe(record))
        records.append(record)
    return records


def _describe(bad: ImageRecord) -> str:
    return f"image {bad.file!r}: {bad.reason}"


def table_is_whole(store: Store) -> bool:
    """Whether there is an image table that was written to its end."""
    images, names = store.images, ("image", *_IMAGES)
    return images.exists() and images.has(_IMAGES[-1]) and all(images.done(name).all() for name in names)


def _stored_records(store: Store) -> dict[str, ImageRecord]:
    """What the store knows of files, good and bad, by path; nothing if the table was not finished."""
    if not table_is_whole(store):
        return {}
    good = _read_records(store.images, ("image", *_IMAGES), {})
    bad = _read_records(store.skipped, _SKIPPED, {"image": "", "category": ""}) if store.skipped.exists() else []
    if _knows_remarks(store):
        remarks = (tuple(filter(None, text.split(","))) for text in store.images.read("remarks").tolist())
        good = [replace(record, remarks=some) for record, some in zip(good, remarks, strict=True)]
    return {record.file: record for record in (*good, *bad)}


def _knows_remarks(store: Store) -> bool:
    return store.images.has("remarks") and bool(store.images.done("remarks").all())


def _known_records(store: Store, others: Sequence[Store]) -> dict[str, ImageRecord]:
    """What a store and others know of files; good ones of others only with what is to be said of their pixels."""
    found: dict[str, ImageRecord] = {}
    for other in others:
        known, with_remarks = _stored_records(other), table_is_whole(other) and _knows_remarks(other)
        found |= {file: record for file, record in known.items() if with_remarks or record.reason is not None}
    return found | _stored_records(store)


def _read_records(group: Group, names: Sequence[str], constant: Mapping[str, Any]) -> list[ImageRecord]:
    columns = [group.read(name).tolist() for name in names]
    return [ImageRecord(**dict(zip(names, row, strict=True)), **constant) for row in zip(*columns, strict=True)]


def _columns(records: Sequence[ImageRecord], names: Sequence[str]) -> dict[str, list[Any]]:
    return {name: [getattr(record, name) for record in records] for name in names}


def _unchanged(source: ImageSource, known: _Records) -> bool:
    record = known.get(escape_undecodable(source.file))
    return record is not None and (record.nbytes, record.modified) == file_signature(source.file)


def _good_and_bad(sources: Sequence[ImageSource], known: _Records) -> tuple[list[ImageRecord], list[ImageRecord]]:
    """Records as they are to be stored: what is known of files under the names that the study has for them now."""
    good: list[ImageRecord] = []
    bad: list[ImageRecord] = []
    for source in sources:
        record = known.get(escape_undecodable(source.file)) or inspect_image(source)
        record = replace(record, image=source.id, role=source.role, number=source.number, category=category_of(source))
        (good if record.reason is None else bad).append(record)
    return good, bad


# ---------------------------------------------------------------- writing


def _refuse_changes(store: Store, known: _Records, good: Sequence[ImageRecord], bad: Sequence[ImageRecord]) -> None:
    """Compare names, contents, order and categories with the table that results may rest on."""
    old = [record for record in known.values() if record.reason is None]
    changes = find_changes(old, good, {record.file: record.reason for record in bad})
    if changes:
        raise StoreMismatchError(
            f"{store} was made from other images: {changes.named}. {changes.sentence}. Or put the "
            "images back, name another `store:`, or run the stage with --redo to replace it",
            f"made from other images: {changes.counts}",
        )


def _notices(records: Sequence[ImageRecord]) -> dict[str, Notice]:
    """What is to be said of the images, by remark."""
    found = {}
    for remark, (text, warning) in REMARKS.items():
        images = [record.image for record in records if remark in record.remarks]
        if images:
            n = counted(len(images), "image", "has", of=len(records))
            sentence = f"{n} {text} (first: {escape_undecodable(images[0])})."
            found[remark] = Notice(sentence, warning)
    return found


def _write_table(store: Store, records: Sequence[ImageRecord], *, new: bool) -> None:
    """Write the table; with what is to be said of its images where it is a new one, else what is kept stays true."""
    with_remarks = new or _knows_remarks(store)
    if new:
        store.images.remove()  # what a killed run left of it
    content = json.dumps([[record.image, record.digest] for record in records])
    store.images.allocate(
        coords={"image": [record.image for record in records]},
        chunks={"image": min(ROWS_PER_CHUNK, len(records))},
        recipe={"images": digest_of(content.encode())},
    )
    if new:  # before the columns: a table that is whole has its notices
        notices = _notices(records)
        keep_notices(store.images, "orientation", [n for name, n in notices.items() if name == "orientation"])
        keep_notices(store.images, "pixels", [n for name, n in notices.items() if name != "orientation"])
        _log(notices.values())
    if with_remarks:
        store.images.write("remarks", [",".join(record.remarks) for record in records])
    for name, values in _columns(records, _IMAGES).items():
        store.images.write(name, values)


def _write_skipped(store: Store, records: Sequence[ImageRecord]) -> None:
    store.skipped.remove()
    if not records:
        return
    n = len(records)
    store.skipped.allocate(coords={"skipped": n}, chunks={"skipped": n}, recipe={})
    for name, values in _columns(records, _SKIPPED).items():
        store.skipped.write(name, values)


def extra_columns(sources: Sequence[ImageSource]) -> dict[str, list[str]]:
    """Columns of an image table that the store does not know, by a name that it can hold.

    Parameters
    ----------
    sources
        The images.

    Returns
    -------
    dict
        By column, one text for every image; ``table_`` is set before names that the store uses itself.
    """
    names = [name for name in (sources[0].columns if sources else ()) if name != "category"]
    plain = {name: re.sub(r"[^\w.-]", "_", name) for name in names}
    count, short = Counter(plain.values()), safe_names(names)
    safe = {name: s if len(s) <= LONGEST_NAME and count[s] == 1 else short[name] for name, s in plain.items()}
    taken = variables(IMAGES)
    return {
        (f"table_{s}" if s in taken or s.startswith((".", "_")) else s): [row.columns[n] for row in sources]
        for n, s in safe.items()
    }
