"""A study on SLURM from a script: extraction on GPU jobs, the rest on CPU jobs, nothing left in the queue.

    python examples/slurm.py [DIR [GPU_PROFILE [CPU_PROFILE]]]

With the test bed of cluster/testbed both profiles are `testbed`:

    eval "$(cluster/testbed/up /tmp/testbed)"; python examples/slurm.py distspc-demo testbed testbed
"""

import sys
from pathlib import Path

import distspc
from distspc.datasets.demo import write_demo


def main(folder: Path, gpu: str = "slurm-gpu", cpu: str = "slurm-cpu") -> None:
    """Run a small study on two clusters, one after the other, and print a table of its results."""
    study = distspc.Study.from_file(write_demo(folder))
    study = study.model_copy(update={"layers": ("block1_pool",)})  # the cheapest one
    print(distspc.job_script(cpu, name="demo"))  # look before you submit

    # Leaving a block takes its jobs out of the queue, also after an error or Ctrl-C.
    with distspc.deploy(gpu, name="demo-extract", log_directory=folder / "logs") as client:
        print(
            *distspc.dashboard_lines(client, everywhere=True), sep="\n"
        )  # the link, the ssh line, the form for Jupyter
        study.run(client, stages=["extract"])

    with distspc.deploy(cpu, overrides=["workers=1"], name="demo-distances", log_directory=folder / "logs") as client:
        client.cluster.adapt(minimum=1, maximum=2)  # scale: follow the work; equal bounds keep that many jobs
        results = study.run(client, stages=["distances"])

    distance = results["distances"]["distance"]  # an xarray.DataArray, read when it is needed
    print(distance.isel(neighbour=0).to_series().groupby("layer").agg(["count", "mean", "std"]).round(1))


if __name__ == "__main__":  # worker processes import this file, and must not start clusters of their own
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "distspc-demo"), *sys.argv[2:])
