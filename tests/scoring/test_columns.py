"""Further measures of new images: as the study has them of the same files; and those of other packages."""

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


def test_further_measures_are_those_that_the_study_has_of_the_same_images(tmp_path):
    words = ["activation-statistics", "typicality", {"name": "density", "dimensions": 3, "neighbours": 2}, "pixels"]
    study = study_of_files(tmp_path, measures=words)
    study.run(stages=["measures"])
    table = study.score(files_of(study, ["targets/1", "fillers/2"])).set_index(["layer", "image"])
    stored = study.stored.measure("typicality").load("typicality", layer="fc2")["typicality"].to_numpy()
    assert table.loc["fc2", "typicality"].tolist() == stored[[0, 13]].tolist()
    assert table.loc["fc2", "hoyer_percentile"].between(0, 100).all()
    assert table.loc["", "edge_share"].notna().all()
    assert not {"autoencoder_error"} & set(table.columns)


def test_an_image_that_is_none_of_the_study_is_measured_against_it(tmp_path):
    study = study_of_files(tmp_path, measures=["activation-statistics", "typicality"])
    study.run(stages=["measures"])
    rows = study.stored.layer("fc2").read("activation", image=slice(0, 2)) * np.float32([[1], [2]])
    new = columns.NewActivations(study.stored, "fc2", rows, ["a", "b"], ["", ""], np.array([-1, -1]))
    found = columns.measure_added(new)
    known = study.stored.measure("activation-statistics")
    mean, n = known.read("activation_mean", layer=0)[:2], study.stored.images.sizes["image"]
    np.testing.assert_allclose(found["activation_mean"], mean * [1, 2])
    typicality = study.stored.measure("typicality").read("typicality", layer=0)[:2]
    np.testing.assert_allclose(found["typicality"], (typicality * (n - 1) + 1) / n)  # its twin in the study counts
