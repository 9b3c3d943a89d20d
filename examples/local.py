"""A study on this machine from a script: launch a cluster, watch it, scale it, run, look at the results.

python examples/local.py [DIR]
"""

import sys
from pathlib import Path

import distspc
from distspc.datasets.demo import write_demo


def main(folder: Path) -> None:
    """Run the first stages of a small study in worker processes and print a table of its results."""
    study = distspc.Study.from_file(write_demo(folder))
    study = study.model_copy(update={"layers": ("block1_pool", "block2_pool")})

    with distspc.deploy("local", overrides=["workers=1"]) as client:
        print(*distspc.dashboard_lines(client), sep="\n")  # watch: open this in a browser
        client.cluster.scale(2)  # scale: another worker process, at any time
        client.wait_for_workers(2, timeout=60)
        results = study.run(client, progress=progress, stages=["extract", "distances"])

    distance = results["distances"]["distance"]  # an xarray.DataArray, read when it is needed
    print(distance.isel(neighbour=0).to_series().groupby("layer").agg(["count", "mean", "std"]).round(1))


def progress(label: str, n_done: int, n_tasks: int) -> None:
    """Say how far the work is."""
    print(f"\r{label}: {n_done}/{n_tasks}", end="\n" if n_done == n_tasks else "", flush=True)


if __name__ == "__main__":  # worker processes import this file, and must not start clusters of their own
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "distspc-demo"))
