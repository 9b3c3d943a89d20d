"""Make a store of the authors' published results, relate them to memorability, and write the report.

    python examples/report_published.py FOLDER report.html

FOLDER as in `reproduce_published.py`. No activations and no images are needed: the store gets the distances of
block5_pool and the reconstruction errors of fc2, as if the stages had computed them.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from distspc import write_report
from distspc.memorability import relations
from distspc.store.store import Store

N_TARGETS, N_FILLERS = 2222, 8042


def image_table(store):
    """Write the images: numbered targets, then numbered fillers."""
    numbers = [*range(1, N_TARGETS + 1), *range(1, N_FILLERS + 1)]
    roles = ["target"] * N_TARGETS + ["filler"] * N_FILLERS
    ids = [f"{role}s/{number}" for role, number in zip(roles, numbers, strict=True)]
    files = [f"Images/{role.capitalize()}s/{number}.jpg" for role, number in zip(roles, numbers, strict=True)]
    frame = pd.DataFrame({"role": roles, "number": numbers, "file": files})
    store.images.allocate(coords={"image": ids}, chunks={}, recipe={}, variables=list(frame))
    for name, column in frame.items():
        store.images.write(name, column.tolist())
    return ids


def published_distances(store, ids, file):
    """Write lines `target, neighbour, distance`; a filler is called `<number>_filler`."""
    table = pd.read_csv(file, header=None, names=["target", "neighbour", "distance"], skipinitialspace=True)
    table = table.set_index("target").loc[range(1, N_TARGETS + 1)]
    number = table["neighbour"].astype(str).str.removesuffix("_filler").astype(int)
    is_filler = table["neighbour"].astype(str).str.endswith("_filler")
    at = (number - 1 + np.where(is_filler, N_TARGETS, 0)).to_numpy()
    coords = {"layer": ["block5_pool"], "target": ids[:N_TARGETS], "image": ids, "neighbour": 1}
    names = ["distance", "neighbour_index"]
    recipe = {"protocol": "spc-public", "source": "published by the authors"}
    store.distances.allocate(coords=coords, chunks={}, recipe=recipe, variables=names)
    store.distances.write("distance", table["distance"].to_numpy()[None, :, None])
    store.distances.write("neighbour_index", at[None, :, None])


def published_errors(store, ids, file):
    """Write the reconstruction errors of the targets; those of the fillers were not published."""
    errors = np.full(len(ids), np.nan)
    errors[:N_TARGETS] = np.load(file)[:, 0]
    coords = {"layer": ["fc2"], "seed": [0], "image": ids}
    recipe = {"source": "published by the authors"}
    store.reconstruction.allocate(coords=coords, chunks={}, recipe=recipe, variables=["error"])
    store.reconstruction.write("error", errors[None, None])


def main(folder, report):
    with TemporaryDirectory() as scratch:
        store = Store(Path(scratch) / "published.zarr")
        ids = image_table(store)
        published_distances(store, ids, folder / "block5_pool_NN.csv")
        published_errors(store, ids, folder / "fc2_spc_rec_quality.npy")
        relations.relate(
            store,
            scores_file=folder / "target_info_IsolaEtAl.csv",
            image_column="im_ind",
            columns=["corrected_hit", "hit", "fa"],
        )
        print(write_report(store, report, title="Published results of Lin et al. (2024)"))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
