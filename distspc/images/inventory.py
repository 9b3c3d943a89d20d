"""The image table of a store: files looked at as Dask tasks, good ones listed, bad ones named with their reason."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from dask.base import tokenize
from dask.delayed import Delayed

from distspc.errors import InputError, StoreMismatchError
from distspc.images.listing import ImageSource, beside_images, escape_undecodable, file_signature, inspect_image
from distspc.images.pixels import REMARKS
from distspc.io.csv_tables import LONGEST_NAME, safe_names
from distspc.io.files import digest_of
from distspc.store.chunks import ROWS_PER_CHUNK
from distspc.store.group import Group
from distspc.store.notices import Notice, keep_notices
from distspc.store.schema import IMAGES, variables
from distspc.store.store import Store
from distspc.tasks import ranges, task, task_key

logger = logging.getLogger(__name__)

FILES_PER_TASK = 64
_SKIPPED = ("file", "role", "number", "reason", "nbytes", "modified")
_IMAGES = ("role", "number", "file", "width", "height", "digest", "nbytes", "category", "modified")  # this last: whole


def scan_images(store: Store, sources: Sequence[ImageSource], *, strict: bool = False) -> list[Delayed]:
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

    Returns
    -------
    list of Delayed
        Each gives rows of `inspect_image`; `write_images` takes them. Empty if nothing changed.

    Raises
    ------
    InputError
        If `strict`, and a file's name alone says that it cannot be used.
    """
    known = _known_rows(store)
    waiting = [s for s in sources if s.problem is None and not _unchanged(s, known)]
    for source in sources:
        if strict and source.problem is not None:
            raise InputError(_describe(source.file, source.problem))
    token = tokenize(str(store), [(s.id, s.file, file_signature(s.file)) for s in waiting], strict)
    # The sources go inside the function: Dask would take arguments apart, a millisecond an image.
    return [
        task(partial(_scan_batch, waiting[start:stop], strict), traverse=False)(
            dask_key_name=task_key("scan", "", token, i)
        )
        for i, (start, stop) in enumerate(ranges(len(waiting), FILES_PER_TASK))
    ]


def write_images(
    store: Store,
    sources: Sequence[ImageSource],
    rows: Iterable[Sequence[Mapping[str, Any]]],
    *,
    strict: bool = False,
) -> None:
    """Write the image table (group ``images``) and the list of bad files (group ``skipped``), or check them.

    Good images alone are in the table, targets first, so that later stages have no holes.

    Parameters
    ----------
    store
        Path of the store.
    sources
        All images of the study.
    rows
        Results of the tasks of `scan_images`.
    strict
        A bad image is an error.

    Raises
    ------
    StoreMismatchError
        If the store holds results of other images; names the first that differ.
    InputError
        If no target can be used; or if `strict`, and an image is bad.
    """
    known = _known_rows(store)
    scanned = {str(row["file"]): dict(row) for part in rows for row in part}
    table = [_row(source, scanned, known) for source in sources]
    good = [row for row in table if row["reason"] is None]
    bad = [row for row in table if row["reason"] is not None]
    if strict and bad:
        raise InputError(_describe(bad[0]["file"], bad[0]["reason"]))
    if not any(row["role"] == "target" for row in good):
        first = f"; the first: {_describe(bad[0]['file'], bad[0]['reason'])}" if bad else ""
        raise InputError(f"none of the {len(table)} images can be used as a target{first}")
    if known:
        _refuse_changes(store, good, bad)
    if not known or bad != [row for row in known.values() if row["reason"] is not None]:
        _write_skipped(store, bad)
    if not known or good != [row for row in known.values() if row["reason"] is None]:
        remarks = {row["image"]: scanned.get(row["file"], {}).get("remarks", ()) for row in good}
        _write_table(store, good, None if known else remarks)
    usable = {row["image"] for row in good}
    for name, values in extra_columns([source for source in sources if source.id in usable]).items():
        store.images.write_column("image", name, values)


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
        If the store holds results of other images; names the first that differ.
    """
    known = _known_rows(store)
    if known:
        unchanged = {
            escape_undecodable(s.file): known[escape_undecodable(s.file)] for s in sources if _unchanged(s, known)
        }
        table = [_row(source, {}, unchanged) for source in sources]
        good, bad = ([row for row in table if (row["reason"] is None) == usable] for usable in (True, False))
        _refuse_changes(store, good, bad)


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
    told = [(text + (f"; to take them, {way_out}" if way_out else ""), bool(way_out)) for text, way_out in found]
    return [
        Notice(f"Folder {escape_undecodable(os.fspath(folder))!r}: not taken: {text}.", warning)
        for text, warning in told
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
    return [(row["file"], row["reason"]) for row in _read_rows(store.skipped, ("file", "reason"))]


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


def _scan_batch(sources: Sequence[ImageSource], strict: bool) -> list[dict[str, Any]]:
    """Task: rows of some images."""
    rows = []
    for source in sources:
        row = inspect_image(source)
        if strict and row["reason"] is not None:
            raise InputError(_describe(row["file"], row["reason"]))
        rows.append(row)
    return rows


def _describe(file: str, reason: str) -> str:
    return f"image {escape_undecodable(file)!r}: {reason}"


def _known_rows(store: Store) -> dict[str, dict[str, Any]]:
    """What the store knows of files, good and bad, by path; nothing if the table was not finished."""
    if not store.images.exists() or not store.images.has(_IMAGES[-1]):
        return {}
    if not all(store.images.done(name).all() for name in ("image", *_IMAGES)):
        return {}
    good = _read_rows(store.images, ("image", *_IMAGES))
    rows = [{**row, "reason": None} for row in good] + _read_rows(store.skipped, _SKIPPED)
    return {row["file"]: row for row in rows}


def _read_rows(group: Group, names: Sequence[str]) -> list[dict[str, Any]]:
    if not group.exists():
        return []
    columns = [group.read(name).tolist() for name in names]
    return [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]


def _unchanged(source: ImageSource, known: Mapping[str, Mapping[str, Any]]) -> bool:
    row = known.get(escape_undecodable(source.file))
    return row is not None and (row["nbytes"], row["modified"]) == file_signature(source.file)


def _row(source: ImageSource, scanned: Mapping[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """One row as it is to be stored, from the scan, from the store, or from the name alone."""
    file = escape_undecodable(source.file)
    found = scanned.get(file) or known.get(file) or inspect_image(source)
    row = {"file": file, "role": source.role, "number": source.number, "reason": found["reason"]}
    row.update(nbytes=found["nbytes"], modified=found["modified"])
    if row["reason"] is None:
        category = source.columns.get("category", "").strip()
        row.update(image=source.id, category=category, **{k: found[k] for k in ("width", "height", "digest")})
    return row


# ---------------------------------------------------------------- writing


def _refuse_changes(store: Store, good: Sequence[Mapping[str, Any]], bad: Sequence[Mapping[str, Any]]) -> None:
    """Compare ids, contents and categories with the table that results may rest on."""
    stored = _read_rows(store.images, ("image", "file", "digest", "category"))
    old, new = ({row["image"]: row for row in rows} for rows in (stored, good))
    reasons = {row["file"]: row["reason"] for row in bad}
    told = [
        *(f"{i} ({r['file']}) {reasons.get(r['file'], 'no longer exists')}" for i, r in old.items() if i not in new),
        *(f"{i} ({r['file']}) is new" for i, r in new.items() if i not in old),
        *(f"{i} ({new[i]['file']}) has changed" for i in new if i in old and old[i]["digest"] != new[i]["digest"]),
        *(f"{i} has another category" for i in new if i in old and old[i]["category"] != new[i]["category"]),
    ]
    if told:
        more = f" and {len(told) - 5} more" if len(told) > 5 else ""
        raise StoreMismatchError(
            f"{store} was made from other images: {'; '.join(told[:5])}{more}. "
            "Put the images back, name another `store:`, or run the stage with --redo to replace it",
            f"made from other images: {told[0]}" + (f" and {len(told) - 1} more" if told[1:] else ""),
        )


def _remarked(remarks: Mapping[str, Sequence[str]]) -> dict[str, Notice]:
    """What is to be said of the images, from the remarks on each, by remark."""
    found = {}
    for remark, (text, warning) in REMARKS.items():
        images = [image for image, told in remarks.items() if remark in told]
        if images:
            has = "image has" if len(remarks) == 1 else "images have" if len(images) > 1 else "images has"
            sentence = f"{len(images)} of {len(remarks)} {has} {text} (first: {escape_undecodable(images[0])})."
            found[remark] = Notice(sentence, warning)
    return found


def _write_table(store: Store, rows: Sequence[Mapping[str, Any]], remarks: Mapping[str, Sequence[str]] | None) -> None:
    """Write the table; with the remarks on all its images where it is a new one, else those kept stay true."""
    if remarks is not None:
        store.images.remove()  # what a killed run left of it
    content = json.dumps([[row["image"], row["digest"]] for row in rows])
    store.images.allocate(
        coords={"image": [row["image"] for row in rows]},
        chunks={"image": min(ROWS_PER_CHUNK, len(rows))},
        recipe={"images": digest_of(content.encode())},
    )
    if remarks is not None:  # before the columns: a table that is whole has its notices
        notices = _remarked(remarks)
        keep_notices(store.images, "orientation", [n for name, n in notices.items() if name == "orientation"])
        keep_notices(store.images, "pixels", [n for name, n in notices.items() if name != "orientation"])
        _log(notices.values())
    for name in _IMAGES:
        store.images.write(name, [row[name] for row in rows])


def _write_skipped(store: Store, rows: Sequence[Mapping[str, Any]]) -> None:
    store.skipped.remove()
    if not rows:
        return
    n = len(rows)
    store.skipped.allocate(coords={"skipped": n}, chunks={"skipped": n}, recipe={})
    for name in _SKIPPED:
        store.skipped.write(name, [row[name] for row in rows])


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
