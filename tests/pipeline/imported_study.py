"""A small study of imported activations, for tests of what happens to them afterwards."""

import numpy as np

from distspc.pipeline.run import Study
from distspc.pipeline.stages.registry import ON_CLUSTER
from distspc.testing.stores import relu_activations

N_TARGETS, N_FILLERS = 12, 18
LAYERS = {"fc2": 40, "fc1": 60, "block5_pool": 90}
MEASURING = ON_CLUSTER
"""Stages without correlations and page, which take longest."""


def write_activations(root, layers=LAYERS):
    """Activations as the authors keep them, and scores."""
    for i, (layer, n_features) in enumerate(layers.items()):
        values = relu_activations(N_TARGETS + N_FILLERS, n_features, seed=i)
        for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            folder = root / "Activations" / layer / name
            folder.mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(folder / f"{number}.npy", row[None])
    lines = ["im_ind,hit", *(f"{i + 1},{0.3 + (i * 7 % 5) / 10}" for i in range(N_TARGETS))]
    (root / "scores.csv").write_text("\n".join(lines) + "\n")


def content(store="s.zarr", **changes):
    """The study file, as a mapping."""
    return {
        "store": str(store),
        "activations": "Activations",
        "layers": list(LAYERS),
        "scores": {"file": "scores.csv", "columns": ["hit"]},
        "reconstruction": {"units": 10, "codewords": 4, "batches": 3, "batch-size": 5},
        "relate": {"bootstrap": 20},
        **changes,
    }


def make_study(root, **changes):
    """The study, in its folder."""
    return Study.from_dict(content(**changes), base=root)
