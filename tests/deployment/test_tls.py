"""Certificates made for one run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from distspc.deployment.session import deploy
from distspc.deployment.tls import CERTIFICATE, KEY, READY, certificate_folder, security, write_certificates


def test_certificates_of_dead_runs_are_swept_and_others_left(tmp_path):
    hold = (
        "import sys, time; from pathlib import Path; from distspc.deployment.tls import certificate_folder\n"
        "with certificate_folder(Path(sys.argv[1])) as folder:\n"
        "    print(folder, flush=True); time.sleep(600)"
    )
    other = tmp_path / ".tls-made-by-hand"
    other.mkdir()
    with subprocess.Popen([sys.executable, "-c", hold, tmp_path], stdout=subprocess.PIPE, text=True) as process:
        theirs = Path(process.stdout.readline().strip())
        try:
            with certificate_folder(tmp_path) as ours:
                assert theirs.is_dir()
                assert ours.stat().st_mode & 0o777 == 0o700
            assert not ours.exists()
        finally:
            process.kill()
    assert theirs.is_dir()
    with certificate_folder(tmp_path):
        assert not theirs.exists()
    assert list(tmp_path.iterdir()) == [other]


def test_a_tls_cluster_refuses_who_has_no_certificate():
    from distributed import Client

    with deploy("local", overrides=["security=tls", "workers=1", "processes=false"]) as client:
        address = client.scheduler.address
        assert address.startswith("tls://")
        with pytest.raises(OSError, match=r"(?i)timed out|reset by peer"):
            Client(address.replace("tls", "tcp"), timeout=1, set_as_default=False)


def test_certificates_are_for_the_user_alone_and_for_every_role(tmp_path):
    made = write_certificates(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted((CERTIFICATE, KEY, READY))
    assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}
    for role in ("client", "scheduler", "worker"):
        arguments = security(tmp_path).get_tls_config_for_role(role)
        assert arguments == made.get_tls_config_for_role(role)
        assert arguments["cert"] == arguments["ca_file"] == str(tmp_path / CERTIFICATE)
    assert security(tmp_path).require_encryption


def test_certificates_are_never_written_over(tmp_path):
    write_certificates(tmp_path)
    with pytest.raises(FileExistsError):
        write_certificates(tmp_path)
