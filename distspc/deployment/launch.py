"""Started by srun: scheduler, study or worker, by rank.

srun python -m distspc.deployment.launch --profile slurm-runner -- run study.yaml
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from distspc.deployment import tls
from distspc.deployment.batch.runner import rendezvous_folder
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.profile.settings import Profile


def main(arguments: Sequence[str] | None = None) -> int:
    """Be the scheduler or a worker, or run a ``distspc`` command at them, by rank."""
    from distspc.deployment.session import deploy

    parser = argparse.ArgumentParser(prog="distspc.deployment.launch", description=__doc__)
    parser.add_argument("--profile", required=True)
    parser.add_argument("--set", action="append", default=[], dest="overrides", metavar="KEY=VALUE")
    parser.add_argument("--logs", type=Path, required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args(arguments)
    profile = load_profile(options.profile, options.overrides)
    with deploy(profile, log_directory=options.logs):
        folder = rendezvous_folder(options.logs.expanduser().absolute())
        command = [part for part in options.command if part != "--"]
        code = "from distspc.cli import main; main()"
        return subprocess.run(
            [sys.executable, "-c", code, *command, "--profile", str(folder / "scheduler.json")],
            env={**os.environ, **_certificate_environment(folder, profile)},
            check=False,
        ).returncode


def _certificate_environment(folder: Path, profile: Profile) -> dict[str, str]:
    if not profile.tls:
        return {}
    certificate, key = str(folder / tls.CERTIFICATE), str(folder / tls.KEY)
    return {
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "True",
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": certificate,
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT": certificate,
        "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY": key,
    }


if __name__ == "__main__":
    sys.exit(main())
