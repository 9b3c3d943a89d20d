"""A measure of another package adds its columns, with percentiles where it knows those of the targets."""

import numpy as np
import pytest

from distspc.scoring import columns
from distspc.scoring.columns import AddedMeasure
from tests.scoring.shared import files_of, study_of_files


def mean_activation(images):
    if not images.layer:
        return {"n_bytes": np.array([float(len(open(file, "rb").read())) for file in images.files])}
    return {"mean_activation": images.rows.mean(axis=1)}


def names(store, layer):
    return {"": ["n_bytes"], "fc2": ["mean_activation"]}.get(layer, [])


def of_targets(store, layer, column):
    if column != "mean_activation":
        return None
    n_targets = int((store.images.read("role") == "target").sum())
    return store.layer(layer).read("activation", image=slice(0, n_targets)).mean(axis=1)


@pytest.fixture
def added(monkeypatch):
    monkeypatch.setattr(columns, "ADDED", [AddedMeasure("means", names, mean_activation, of_targets)])


def test_columns_are_added_at_their_layers(tmp_path, added):
    study = study_of_files(tmp_path)
    table = study.score(files_of(study, ["targets/1", "fillers/2"]))
    assert table["layer"].tolist() == ["fc2", "fc2", "fc1", "fc1", "", ""]
    rows = study.stored.layer("fc2").read("activation", image=np.array([0, 13]))
    at = table.set_index(["layer", "image"])
    np.testing.assert_allclose(at.loc["fc2", "mean_activation"], rows.mean(axis=1), rtol=1e-6)
    assert at.loc["fc1", "mean_activation"].isna().all()
    assert at.loc["fc2", "mean_activation_percentile"].between(0, 100).all()
    assert (at.loc["", "n_bytes"] > 20).all()
    assert at.loc["", "distinctiveness"].isna().all()
