"""What a batch queue costs: the demo on two one-core jobs of the SLURM test bed, and on two local workers.

    eval "$(cluster/testbed/up /tmp/testbed)"; python benchmarks/clusters.py

One run of each, one after the other, on the same photographs; needs SLURM (see cluster/README.md).
"""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from distspc.datasets.demo import write_demo
from distspc.deployment.profile.reading import load_profile
from distspc.deployment.session import deploy

DISTSPC = [sys.executable, "-c", "from distspc.cli import main; main()"]


def start_up(profile: str, overrides: tuple[str, ...], folder: Path) -> tuple[float, float, float]:
    """Seconds until a client has two workers, to do 200 empty tasks, and to leave."""
    begun = time.perf_counter()
    with deploy(profile, overrides=overrides, log_directory=folder / "logs") as client:
        client.wait_for_workers(2, timeout=120)
        there = time.perf_counter()
        client.gather(client.map(abs, range(200)))
        done = time.perf_counter()
    return there - begun, done - there, time.perf_counter() - done


def whole_demo(profile: str, overrides: tuple[str, ...], folder: Path) -> float:
    """Seconds of `distspc run` on the demo's study in a fresh store."""
    for made in ("study.zarr", "study.html"):
        shutil.rmtree(folder / made, ignore_errors=True)
    options = [part for override in overrides for part in ("--set", override)]
    begun = time.perf_counter()
    command = [*DISTSPC, "run", str(folder / "study.yaml"), "--profile", profile, *options]
    subprocess.run(command, check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


def main() -> None:
    """Print a table."""
    load = re.search(r"load average: ([\d.]+)", subprocess.run(["uptime"], capture_output=True, text=True).stdout)
    print(f"load before: {load[1] if load else '?'}")
    memory = load_profile("testbed").job.memory
    ways = {
        "local, 2 workers of 1 core": ("local", ("workers=2", "cores-per-worker=1", f"memory-per-worker={memory}")),
        "testbed, 2 jobs of 1 core, TLS": ("testbed", ("workers=2",)),
    }
    print("| profile | start | 200 empty tasks | end | the demo, all stages |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="clusters-", dir="/tmp") as name:
        folder = Path(name) / "demo"
        write_demo(folder)
        for label, (profile, overrides) in ways.items():
            parts = start_up(profile, overrides, Path(name))
            total = whole_demo(profile, overrides, folder)
            print(f"| {label} | " + " | ".join(f"{part:.1f} s" for part in parts) + f" | {total:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
