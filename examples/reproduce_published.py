"""Reproduce the correlations that the authors published, from the files they published.

    python examples/reproduce_published.py FOLDER

FOLDER holds `target_info_IsolaEtAl.csv`, `block5_pool_NN.csv` and `fc2_spc_rec_quality.npy` (in the authors'
repository Qi-Lin7/SPC_public: `Image_info/target_info_IsolaEtAl.csv`, `Results/Dist/block5_pool_NN.csv` and
`Results/RE/fc2/spc_rec_quality.npy`). Without an argument the variable DISTSPC_REFERENCE_DATA names it.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from distspc import correlate

PUBLISHED = {
    ("distinctiveness block5_pool", ""): (0.36, 0.32, 0.40),
    ("reconstruction error fc2", ""): (0.29, 0.26, 0.33),
    ("reconstruction error fc2", "distinctiveness block5_pool"): (0.16, 0.11, 0.20),
}


def read_published(folder):
    """Scores and measures of the 2,222 targets, one row each."""
    frame = pd.read_csv(folder / "target_info_IsolaEtAl.csv").set_index("im_ind")
    nearest = pd.read_csv(folder / "block5_pool_NN.csv", header=None, names=["target", "neighbour", "distance"])
    frame["distinctiveness block5_pool"] = nearest.set_index("target")["distance"]
    errors = folder / "fc2_spc_rec_quality.npy"
    frame["reconstruction error fc2"] = np.load(errors if errors.exists() else folder / "spc_rec_quality.npy")[:, 0]
    return frame


def reproduce(folder):
    """Table of the published figures beside ours."""
    frame = read_published(Path(folder))
    rows = []
    for (measure, control), published in PUBLISHED.items():
        ours = correlate(frame, [measure], score="corrected_hit", given=[control] if control else ()).iloc[0]
        ours_rounded = tuple(round(float(ours[name]), 2) for name in ("r", "ci_low", "ci_high"))
        rows.append((measure, control or "-", ours["n"], *published, *ours_rounded, ours_rounded == published))
    names = ["measure", "controlling for", "n", "r", "low", "high", "our r", "our low", "our high", "same"]
    return pd.DataFrame(rows, columns=names)


def main(arguments):
    folder = arguments[0] if arguments else os.environ.get("DISTSPC_REFERENCE_DATA")
    if not folder:
        sys.exit(__doc__)
    table = reproduce(folder)
    print(table.to_string(index=False))
    return 0 if table["same"].all() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
