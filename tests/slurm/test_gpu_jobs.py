"""Two jobs with a GPU each on a real SLURM: what they have, and who gets in."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from distspc.deployment.session import deploy
from distspc.errors import InputError
from distspc.testing.workers import blas_threads, process_info, threads_in_use

pytestmark = pytest.mark.slurm

GPU = ("resources={GPU: 1}", 'job-extra-directives=["--gres=gpu:1"]')


@pytest.fixture(scope="module")
def folder(slurm, tmp_path_factory):
    return tmp_path_factory.mktemp("gpu") / "logs"


@pytest.fixture(scope="module")
def client(folder):
    with pytest.MonkeyPatch.context() as patch:
        # What an allocation around this process would say; sbatch would follow it.
        patch.setenv("SLURM_JOB_ID", "1")
        patch.setenv("SLURM_MEM_PER_NODE", "99999999")
        patch.setenv("SLURM_CPUS_PER_TASK", "77")
        overrides = (*GPU, "cores=2", "timeouts.start=60")
        with deploy("testbed", overrides=overrides, name="a study-extract", log_directory=folder) as client:
            client.wait_for_workers(2, timeout=60)
            yield client
    answer = subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True)
    assert answer.stdout == ""
    assert not list(folder.glob(".tls-*"))


def test_each_job_has_its_gpu_its_cores_and_its_name(client):
    seen = client.gather(client.map(process_info, [0.3] * 4, pure=False, resources={"GPU": 1}))
    assert len({one["job"] for one in seen}) == 2
    assert {one["gpus"] for one in seen} <= {"0", "1"}
    assert {one["cores"] for one in seen} == {"2"}
    assert {one["job_name"] for one in seen} == {"a-study-extract"}


def test_threads_inside_are_the_cores_of_the_job(client):
    workers = client.scheduler_info(n_workers=-1)["workers"].values()
    assert [worker["nthreads"] for worker in workers] == [1, 1]
    assert list(client.run(blas_threads).values()) == [{"blas": 2, "assigned": 2}] * 2
    assert client.submit(threads_in_use).result(timeout=60) == {"blas": 2, "tensorflow": 2, "assigned": 2}


def test_without_the_certificate_nobody_gets_in(client, folder, tmp_path):
    from distributed import Client, Security
    from distributed.comm import CommClosedError

    address = client.scheduler.address
    assert address.startswith("tls://127.0.0.1:")
    with pytest.raises((OSError, CommClosedError), match=r"(?i)timed out|closed|expected"):
        Client(address.replace("tls://", "tcp://"), timeout=2, set_as_default=False)
    other = Security.temporary()
    with pytest.raises((OSError, CommClosedError), match=r"(?i)certificate|timed out"):
        Client(address, security=other, timeout=2, set_as_default=False)
    with pytest.raises(InputError, match=r"no scheduler answers.*client\.cert"), deploy(address):
        pass


def test_certificates_are_for_the_user_only(client, folder):
    (place,) = folder.glob(".tls-*")
    assert place.stat().st_mode & 0o777 == 0o700
    assert {file.stat().st_mode & 0o777 for file in place.iterdir()} == {0o600}


def test_nothing_listens_beyond_this_machine(client):
    pids = {one["pid"] for one in client.run(process_info).values()} | {os.getpid()}
    addresses = {address for pid in pids for address in listening(pid)}
    assert addresses == {"0100007F"}


def test_logs_lie_in_one_folder_by_job(client, folder):
    jobs = {one["job"] for one in client.run(process_info).values()}
    assert {folder / f"a-study-extract-{job}.err" for job in jobs} <= set(folder.iterdir())


def listening(pid: int) -> set[str]:
    """Addresses, as the kernel writes them, on which a process listens."""
    inodes = {os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()}
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return {row[1].split(":")[0] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in inodes}
