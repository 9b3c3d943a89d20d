"""Files from the internet, checked against their published hash."""

from __future__ import annotations

import logging
from pathlib import Path

from distspc.errors import InputError
from distspc.io.files import unwritable

logger = logging.getLogger(__name__)

TIMEOUT_S = 60


def download(url: str, path: Path, *, known_hash: str | None, what: str, way_out: str = "name another folder") -> Path:
    """Fetch a file, unless it is there with its known hash; a file with another is replaced.

    Parameters
    ----------
    url
        Its address.
    path
        Where it goes.
    known_hash
        ``sha256:...`` or ``md5:...``; None where none is published: then any file that is there will do.
    what
        What the file is, in messages.
    way_out
        What to do where it cannot be put there.

    Returns
    -------
    pathlib.Path
        `path`.

    Raises
    ------
    InputError
        If it cannot be fetched, or another file comes; says which file to put where.
    DistspcError
        If the disk is full.
    """
    import pooch

    logger.info("fetching %s into %s", url, path)
    fetch = pooch.HTTPDownloader(timeout=TIMEOUT_S)
    try:
        pooch.retrieve(url, known_hash=known_hash, fname=path.name, path=path.parent, downloader=fetch)
    except Exception as error:  # no network has many names; a wrong hash is a ValueError
        if isinstance(error, OSError) and (told := unwritable(error, f"{what} to {path}", way_out)):
            raise told from error
        checked = f" ({known_hash})" if known_hash else ""
        raise InputError(
            f"cannot fetch {what} ({type(error).__name__}: {error}). "
            f"Download {url} yourself and put it at {str(path)!r}{checked}"
        ) from error
    return path
