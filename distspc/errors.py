"""What goes wrong, by who has to act on it.

Every message names the thing, the value seen, the values allowed and the way out.
"""

import errno
from typing import Self

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of the errors of places that may not be written, and of full disks."""
DISK_ERRORS = (*FULL, errno.EROFS)
"""Of disks that take no more, whoever writes."""


class DistspcError(Exception):
    """Base of all errors that this package raises on purpose (exit code 1)."""


class InputError(DistspcError, ValueError):
    """Something the user gave cannot be used as it is (exit code 2)."""


class StoreMismatchError(InputError):
    """The store was made with another recipe than the one asked for now.

    Attributes
    ----------
    difference : str
        What differs, in one clause.
    """

    def __init__(self, message: str, difference: str = "") -> None:
        super().__init__(message)
        self.difference = difference or message

    @classmethod
    def of_settings(cls, store: object, group: str, differences: str) -> Self:
        """Error about a group of a store that other settings made."""
        return cls(
            f"{store}: {group!r} was made with other settings ({differences}). "
            "Put the settings back, name another `store:`, or run the stage with --redo to replace it",
            f"made with other settings: {differences}",
        )


class StoreBusyError(InputError):
    """Another run holds the store."""


class WorkerError(DistspcError):
    """A worker or its cluster failed in a way that a retry does not cure."""


class BadImageError(InputError):
    """An image file that cannot be used, and why.

    Attributes
    ----------
    reason : str
        One clause, without the file's name.
    file : str or None
        The file, where known.
    """

    def __init__(self, reason: str, file: str | None = None) -> None:
        super().__init__(reason, file)
        self.reason = reason
        self.file = file

    def __str__(self) -> str:
        return self.reason if self.file is None else f"image {self.file!r}: {self.reason}"
