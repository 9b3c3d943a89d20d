"""Certificates made for one run, in files that only the user can read."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from distributed import Security


CERTIFICATE, KEY = "certificate.pem", "key.pem"
READY = "ready"
"""Written last: who waits for the certificates waits for this."""
OWNER = "owner"
"""Names the process and host of the run that a folder belongs to."""
LOOK_S = 0.2


@contextmanager
def certificate_folder(parent: Path) -> Iterator[Path]:
    """A folder for the certificates of one run, mode 0700, gone at the end; those of dead runs go with it."""
    from filelock import SoftFileLock

    parent.mkdir(parents=True, exist_ok=True)
    remove_stale_certificates(parent)
    folder = Path(tempfile.mkdtemp(prefix=".tls-", dir=parent))
    try:
        with SoftFileLock(folder / OWNER, timeout=LOOK_S, mode=0o600):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_stale_certificates(parent: Path) -> None:
    """Remove the certificates of runs that were killed: this user's, whose process on this machine is no more."""
    from filelock import SoftFileLock, Timeout

    for owner in parent.glob(f".tls-*/{OWNER}"):
        # The lock of a process that lives, or that runs on another machine, cannot be taken over.
        with suppress(OSError, Timeout):
            if owner.parent.lstat().st_uid != os.getuid():
                continue
            with SoftFileLock(owner, timeout=LOOK_S, mode=0o600):
                shutil.rmtree(owner.parent, ignore_errors=True)


def write_certificates(folder: Path) -> Security:
    """Make a key and a certificate that signs itself, write them with mode 0600, and return how to use them."""
    from distributed import Security

    made = Security.temporary()
    for name, text in ((CERTIFICATE, made.tls_ca_file), (KEY, made.tls_client_key), (READY, "")):
        handle = os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(text)
    return security(folder)


def security(folder: Path) -> Security:
    """Return how to use the certificate in a folder, for every role: who has no such file is refused."""
    from distributed import Security

    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=certificate,
        **{f"tls_{role}_cert": certificate for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )
