import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError
from distspc.selection.selection import select_stimuli
from tests.selection.shared import BY, images


def test_factors_are_freed_of_each_other_and_cells_matched():
    selection = select_stimuli(images(), by=BY, per_cell=12, match=["norm:fc2", "category"], gap=0.05)
    assert selection.correlation_before[BY] > 0.3
    assert abs(selection.correlation_after[BY]) <= 0.02
    assert selection.stimuli["cell"].value_counts().tolist() == [12] * 4
    checked = selection.balance["within_limits"].dropna()
    assert checked.astype(bool).all()
    assert selection.optimal
    assert selection.gap <= 0.05


def test_stimuli_carry_file_levels_factors_and_covariates():
    table = images().assign(file=[f"/pictures/{i}.jpg" for i in range(400)])
    selection = select_stimuli(table, by=BY[0], per_cell=5, match=["norm:fc2", "category"])
    assert list(selection.stimuli.columns) == ["file", "cell", f"level:{BY[0]}", BY[0], "norm:fc2", "category"]
    assert selection.stimuli["cell"].tolist() == ["small"] * 5 + ["large"] * 5
    name = selection.stimuli.index[0]
    assert selection.stimuli.loc[name, "file"] == table.loc[name, "file"]
    assert selection.stimuli.loc[name, BY[0]] == table.loc[name, BY[0]]


def test_excluded_images_stay_out():
    first = select_stimuli(images(), by=BY, per_cell=6)
    second = select_stimuli(images(), by=BY, per_cell=6, exclude=list(first.stimuli.index))
    assert not set(first.stimuli.index) & set(second.stimuli.index)


def test_identical_images_are_never_both_selected():
    table = images()
    table["neighbour:fc2"] = ""
    extremes = table[BY[1]].nlargest(6).index
    table.loc[extremes, BY[0]] = 0.0  # identical to one another: far out on both factors, so all would be taken
    table.loc[extremes, "neighbour:fc2"] = [extremes[1], *[extremes[0]] * 5]
    selection = select_stimuli(table, by=BY, per_cell=10)
    assert len(set(extremes) & set(selection.stimuli.index)) <= 1


def test_measured_distances_keep_near_images_apart():
    table = images()
    rng = np.random.default_rng(1)
    points = dict(zip(table.index, rng.uniform(size=(400, 2)), strict=True))
    table["neighbour:fc2"] = ""

    def distances(layer, names):
        x = np.array([points[name] for name in names])
        return np.sqrt(((x[:, None] - x) ** 2).sum(-1))

    selection = select_stimuli(table, by=BY, per_cell=6, min_distance={"fc2": 0.03}, distances=distances)
    d = distances("fc2", list(selection.stimuli.index))
    assert d[np.triu_indices(24, 1)].min() >= 0.03


def test_a_floor_without_measured_distances_says_what_it_cannot_know():
    table = images().assign(**{"neighbour:fc2": ""})
    selection = select_stimuli(table, by=BY, per_cell=4, min_distance={"fc2": 1.0})
    assert any("not nearest neighbours are not found" in sentence for sentence in selection.notices)


def test_three_factors():
    table = images(600)
    selection = select_stimuli(table, by=[*BY, "edge_density"], per_cell=6, gap=0.1)
    assert len(selection.stimuli) == 48
    assert len(selection.correlation_after) == 3
    assert max(map(abs, selection.correlation_after.values())) <= 0.02


def test_more_factors_than_the_data_carry():
    with pytest.raises(InputError, match="no set of 8 x 40 images: cell"):
        select_stimuli(images(200), by=[*BY, "edge_density"], per_cell=40)


def test_outer_terciles_leave_the_middle_out():
    table = images()
    low, high = table[BY[0]].quantile([1 / 3, 2 / 3])
    selection = select_stimuli(table, by=BY[0], per_cell=100, split="outer-terciles")
    assert not selection.stimuli[BY[0]].between(low, high, inclusive="right").any()


REFERENCE = Path(os.environ.get("DISTSPC_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data" / "isola"))


@pytest.mark.skipif(
    not REFERENCE.is_dir(), reason="the authors' files are not here; name their folder in DISTSPC_REFERENCE_DATA"
)
def test_4_x_48_images_of_the_published_measures():
    by = ("distinctiveness:block5_pool", "reconstruction_error:fc2")
    nearest = pd.read_csv(REFERENCE / "block5_pool_NN.csv", header=None, names=["image", "neighbour", by[0]])
    table = nearest.set_index("image")[[by[0]]].sort_index()
    table[by[1]] = np.load(REFERENCE / "fc2_spc_rec_quality.npy").ravel()
    table["fa"] = pd.read_csv(REFERENCE / "target_info_IsolaEtAl.csv").set_index("im_ind")["fa"]
    selection = select_stimuli(table, by=by, per_cell=48, match="fa")
    assert selection.correlation_before[by] == pytest.approx(0.456, abs=0.001)
    assert abs(selection.correlation_after[by]) <= 0.02
    assert selection.stimuli["cell"].value_counts().tolist() == [48] * 4
    assert min(selection.separation.values()) > 1.8
    assert selection.balance["within_limits"].dropna().astype(bool).all()
