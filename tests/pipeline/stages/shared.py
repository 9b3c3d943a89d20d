"""What the tests of the stages share."""

from distspc.pipeline.run import Study
from distspc.pipeline.stages.base import Run
from distspc.study.images import StudyImages
from distspc.testing.stores import make_store

N_TARGETS, N_FILLERS = 8, 12


def study_of(folder, **others):
    """A study whose activations are in its store."""
    sizes = {"fc2": 30, "fc1": 20}
    make_store(folder / "s.zarr", n_targets=N_TARGETS, n_fillers=N_FILLERS, layers=sizes)
    content = {
        "store": "s.zarr",
        "activations": "A",
        "layers": list(sizes),
        "reconstruction": {"units": 6, "codewords": 4, "batches": 2, "batch-size": 5, "seeds": [0, 1]},
    }
    return Study.from_dict({**content, **others}, base=folder)


def no_cluster(stage):
    raise AssertionError(f"{stage} opened a cluster")


def run_of(study):
    return Run(study, StudyImages(study), no_cluster)
