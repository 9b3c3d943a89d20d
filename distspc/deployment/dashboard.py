"""How to reach the dashboard: here, through ssh, and inside Jupyter."""

from __future__ import annotations

import getpass
import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from distributed import Client


def dashboard_lines(client: Client, *, everywhere: bool | None = None) -> list[str]:
    """Lines that say where the dashboard is.

    Parameters
    ----------
    client
        A connected client.
    everywhere
        Give the ssh and Jupyter forms too; by default only where they are of use: in an ssh session, in a job,
        in Jupyter, or when the scheduler runs on another machine.

    Returns
    -------
    list of str
        The link; then, where of use, the ready-made ``ssh -L`` line and the ``/proxy/`` form for Jupyter.
        Empty if there is no dashboard.
    """
    port = client.scheduler_info(n_workers=0).get("services", {}).get("dashboard")
    if not port:
        return []
    host = _scheduler_host(client)
    lines = [f"dashboard: http://127.0.0.1:{port}/status"]
    remote = everywhere or host != _this_host() or _logged_in_from_elsewhere()
    if everywhere is not False and remote:
        lines.append(f"from your own machine first: {ssh_line(host, int(port))}")
    if everywhere or (everywhere is None and _jupyter_prefix()):
        lines.append(f"inside Jupyter: {_jupyter_prefix() or '/'}proxy/{port}/status")
    return lines


def ssh_line(host: str, port: int) -> str:
    """The ssh command that brings a port of a remote machine here; through the login node from within a job."""
    gate = os.environ.get("SLURM_SUBMIT_HOST") or os.environ.get("PBS_O_HOST") or os.environ.get("LSB_SUB_HOST")
    jump = f"-J {getpass.getuser()}@{gate} " if gate and gate.split(".")[0] != host.split(".")[0] else ""
    return f"ssh -N -L {port}:127.0.0.1:{port} {jump}{getpass.getuser()}@{host}"


def _scheduler_host(client: Client) -> str:
    address = urlsplit(client.scheduler.address).hostname or ""
    here = client.cluster is not None or address in ("127.0.0.1", "::1", "localhost", "")
    return _this_host() if here else address


def _this_host() -> str:
    return socket.gethostname()


def _logged_in_from_elsewhere() -> bool:
    return any(os.environ.get(name) for name in ("SSH_CONNECTION", "SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID"))


def _jupyter_prefix() -> str:
    return os.environ.get("JUPYTERHUB_SERVICE_PREFIX") or ("/" if os.environ.get("JPY_PARENT_PID") else "")


def free_dashboard(address: str) -> str:
    """The dashboard's address as asked for, or any free port where that one is taken."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return f"{host}:0"
    return address


@contextmanager
def port_may_be_taken() -> Iterator[None]:
    """Inside this block Dask takes another port without a warning where somebody was faster."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Port .* is already in use", category=UserWarning)
        yield
