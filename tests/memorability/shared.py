"""What the tests of this folder share."""

import numpy as np
import pandas as pd

LAYERS = ["block5_pool", "fc2"]


N_TARGETS, N_FILLERS = 30, 10


def frame_of(n=60, seed=0):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=n)
    columns = {f"m{i}": score * i / 3 + rng.normal(size=n) for i in range(4)}
    return pd.DataFrame({"corrected_hit": score, "hit": score + rng.normal(size=n), **columns})


def written(tmp_path, text, name="scores.csv"):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path / name
