"""What goes wrong, by who has to act on it.

Every message names the thing, the value seen, the values allowed and the way out.
"""


class DistspcError(Exception):
    """Base of all errors that this package raises on purpose (exit code 1)."""


class InputError(DistspcError, ValueError):
    """Something the user gave cannot be used as it is (exit code 2)."""


class StoreMismatchError(InputError):
    """The store was made with another recipe than the one asked for now."""


class StoreBusyError(InputError):
    """Another run holds the store."""


class WorkerError(DistspcError):
    """A worker or its cluster failed in a way that a retry does not cure."""
