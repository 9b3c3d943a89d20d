"""A table of images whose measures are correlated, as real ones are."""

from __future__ import annotations

from pathlib import Path

import dask
import numpy as np
import pandas as pd

from distspc.distances.build import nearest_distances
from distspc.kernels.distance.products import Metric
from distspc.testing import stores

BY = ("distinctiveness:fc2", "reconstruction_error:fc2")


def images(n: int = 400, seed: int = 3) -> pd.DataFrame:
    """Two factors that correlate at .45, two covariates, a category; a row per image."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal(n)
    first, second = (0.67 * shared + 0.74 * rng.standard_normal(n) for _ in range(2))
    return pd.DataFrame(
        {
            BY[0]: 1000 + 200 * first,
            BY[1]: 0.04 + 0.01 * second,
            "norm:fc2": 50 + 5 * (0.3 * first + rng.standard_normal(n)),
            "edge_density": rng.uniform(size=n),
            "category": rng.choice(["indoor", "outdoor", "people"], n),
        },
        index=pd.Index([f"image{i}" for i in range(n)], name="image"),
    )


def make_finished(path: Path, metric: Metric = "euclidean") -> Path:
    """A store with distances that were computed from its activations."""
    stores.make_store(path, n_targets=24, n_fillers=6, layers={"fc2": 40})
    dask.compute(*nearest_distances(path, layer="fc2", metric=metric), scheduler="synchronous")
    return path
