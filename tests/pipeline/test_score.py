"""Images scored against a study: those of the study have what it says of them, others what a larger study would say."""

import re
import shutil

import numpy as np
import pandas as pd
import pytest
import skimage.data
from distributed import Client
from PIL import Image

from distspc.errors import InputError, StoreMismatchError
from distspc.pipeline import score as pipeline
from distspc.pipeline.run import Study
from distspc.pipeline.score import score_images
from distspc.results.measures import with_models
from distspc.results.tidy import tidy_table
from distspc.scoring.options import ScoreLimits
from distspc.store.activations import give_back
from distspc.testing.onnx_vgg16 import write_vgg16
from distspc.testing.stores import write_moments
from tests.scoring.shared import SETTINGS, files_of, study_of_files

MEASURED = ("distances", "reconstruct")
SOME = ["targets/2", "targets/4", "targets/6", "targets/11"]


def finished(folder, *, stages=MEASURED, **settings):
    study = study_of_files(folder, **settings)
    if settings.get("scaling") == "z-score":
        for layer in study.layers:
            write_moments(study.store, layer)
    study.run(stages=stages)
    return study


def assert_as_stored(table, study, images=SOME):
    stored = tidy_table(study.store).set_index(["image", "layer"])
    assert len(table) == len(images) * len(study.layers)
    wanted = stored.loc[list(zip(table["in_study"], table["layer"], strict=True))].reset_index()
    assert table["in_study"].tolist() == images * len(study.layers)
    assert "neighbour" not in wanted or table["neighbour"].tolist() == wanted["neighbour"].tolist()
    exact = ["distinctiveness", "reconstruction_error", "reconstruction_error_sd", "norm"]
    for name in (name for name in [*exact, "mean_distance"] if name in wanted):
        np.testing.assert_allclose(table[name], wanted[name], rtol=1e-9, atol=1e-12, err_msg=name)


def scored_again(study, stage, **changes):
    """Compute a stage of a study with other settings, and compare its images, scored again, with what is stored."""
    other = Study.from_dict({**study.model_dump(), **changes}, base=study.store.parent)
    other.run(stages=[stage], redo=True)
    assert_as_stored(other.score(files_of(other, SOME)), other)


@pytest.fixture(scope="module")
def one_layer(tmp_path_factory):
    """Studies of one layer, of which nothing is computed, by scaling."""
    folders = {scaling: tmp_path_factory.mktemp("score") for scaling in ("none", "z-score")}
    return {scaling: finished(folder, stages=[], scaling=scaling, layers={"fc2": 40})
            for scaling, folder in folders.items()}  # fmt: skip


PROTOCOLS = {"paper": 3, "spc-public": 1, "distinct": 2}
"""With the number of neighbours that is looked for."""
METRICS = ["euclidean", "cosine", "correlation"]
DISTANCES = [
    *(("none", protocol, metric) for protocol in PROTOCOLS for metric in METRICS),
    *(("z-score", protocol, metric) for protocol, metric in zip(PROTOCOLS, METRICS, strict=True)),
]
FITS = [("paper", "all"), ("converged", "fillers"), ("pca", "all"), ("pca", "fillers")]


@pytest.mark.parametrize(("scaling", "protocol", "metric"), DISTANCES)
def test_images_of_the_study_have_their_stored_neighbours(one_layer, scaling, protocol, metric):
    settings = {"protocol": protocol, "metric": metric, "neighbours": PROTOCOLS[protocol]}
    scored_again(one_layer[scaling], "distances", distinctiveness=settings)


@pytest.mark.parametrize("scaling", ["none", "z-score"])
@pytest.mark.parametrize(("solver", "train_on"), FITS)
def test_images_of_the_study_have_their_stored_errors(one_layer, scaling, solver, train_on):
    one_layer[scaling].stored.distances.remove()
    settings = {**SETTINGS, "solver": solver, "train-on": train_on}
    scored_again(one_layer[scaling], "reconstruct", reconstruction=settings)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A finished study, to be read."""
    return finished(tmp_path_factory.mktemp("finished"), distinctiveness={"neighbours": 2})


def test_rows_do_not_depend_on_the_company(study):
    together = study.score(files_of(study, SOME))
    for file in files_of(study, SOME)[::-1]:
        alone = study.score(file).drop(columns="file")
        same = together[together["image"] == file.stem].reset_index(drop=True).drop(columns="file")
        pd.testing.assert_frame_equal(alone, same, rtol=1e-12)


def test_neighbours_within_the_category_are_those_of_the_image_in_the_study(tmp_path):
    study = finished(tmp_path, distinctiveness={"within-category": True})
    assert_as_stored(study.score(files_of(study, SOME)), study)


def test_fillers_and_all_images_of_a_folder_can_be_scored(study):
    table = study.score(study.store.parent / "Images" / "fillers")
    assert table["in_study"].str.startswith("fillers/").all()
    errors = study.stored.reconstruction.load("error", layer="fc2")["error"].mean("seed").to_series()
    at_fc2 = table[table["layer"] == "fc2"].set_index("in_study")["reconstruction_error"]
    np.testing.assert_allclose(at_fc2, errors[at_fc2.index], rtol=1e-9)


def test_percentiles_are_among_the_targets(study):
    table, targets = study.score(files_of(study, SOME)), tidy_table(study.store)
    for row in table.itertuples():
        same = targets[targets["layer"] == row.layer]
        for name in ("distinctiveness", "reconstruction_error"):
            below = (same[name] < getattr(row, name) - 1e-12).mean() + (
                np.isclose(same[name], getattr(row, name))
            ).mean() / 2
            assert getattr(row, f"{name}_percentile") == pytest.approx(100 * below)


def test_columns_are_those_of_the_study_with_the_new_ones(study):
    table = study.score(files_of(study, SOME), layers=["fc1"])
    assert table.columns.tolist() == [
        "image", "file", "layer", "in_study", "neighbour", "distinctiveness", "distinctiveness_percentile",
        "mean_distance", "neighbour_2", "distance_2", "norm", "reconstruction_error",
        "reconstruction_error_percentile", "reconstruction_error_sd", "reconstruction_error_seed0",
        "reconstruction_error_seed3",
    ]  # fmt: skip
    assert table["layer"].unique().tolist() == ["fc1"]


# ---------------------------------------------------------------- what a study lacks


def test_what_the_study_lacks_is_missing_and_said(tmp_path):
    study = finished(tmp_path, stages=["distances"])
    table = study.score(files_of(study, SOME))
    assert table["reconstruction_error"].isna().all()
    assert table["distinctiveness"].notna().all()
    assert table.attrs["notices"][0] == (
        "no reconstruction errors at any layer: the sparse code is not fitted yet: run `distspc reconstruct`"
    )
    study.run(stages=["reconstruct"])
    study.stored.distances.remove()
    table = study.score(files_of(study, SOME))
    assert table["distinctiveness"].notna().all()
    assert "distinctiveness_percentile" not in table.columns
    assert "no percentiles of distinctiveness at any layer" in table.attrs["notices"][0]


def test_a_study_without_anything_is_refused(tmp_path):
    study = study_of_files(tmp_path, layers={"fc2": 20})
    shutil.rmtree(study.store / "activations")
    with pytest.raises(InputError, match=r"nothing to score images against yet: .*run `distspc extract`"):
        study.score(tmp_path / "Images" / "targets")
    shutil.rmtree(study.store)
    with pytest.raises(InputError, match="holds no images yet: run `distspc run`"):
        study.score(tmp_path / "Images" / "targets")


def test_other_settings_and_layers_are_refused(study):
    other = Study.from_dict({**study.model_dump(), "distinctiveness": {"metric": "cosine"}}, base=study.store.parent)
    with pytest.raises(StoreMismatchError, match="metric was"):
        other.score(files_of(study, SOME))
    with pytest.raises(InputError, match="no layer 'fc3'; did you mean 'fc2'"):
        study.score(files_of(study, SOME), layers=["fc3"])


def test_a_study_without_a_network_scores_its_own_images_alone(study):
    (study.store.parent / "new.png").write_bytes(
        (study.store.parent / "Images" / "targets" / "1.png").read_bytes() + b"0"
    )
    with pytest.raises(InputError, match="has no network"):
        study.score(study.store.parent / "new.png")


# ---------------------------------------------------------------- many images


def test_a_stopped_run_goes_on_and_leaves_nothing_behind(tmp_path, monkeypatch):
    study, scored, real = finished(tmp_path), [], pipeline.score_chunk
    whole = score_images(study, tmp_path / "Images" / "targets")
    whole.forget()
    assert not (tmp_path / "s-scores").exists()
    limits = ScoreLimits(images_per_task=5)

    def stops(work, report):
        if len(scored) == 2:
            raise KeyboardInterrupt
        scored.append(work.which)
        real(work, report)

    monkeypatch.setattr(pipeline, "score_chunk", stops)
    with pytest.raises(KeyboardInterrupt):
        score_images(study, tmp_path / "Images" / "targets", limits=limits)
    assert scored == [(0, 5), (5, 10)]
    again = []
    monkeypatch.setattr(pipeline, "score_chunk", lambda work, report: again.append(work.which) or real(work, report))
    found = score_images(study, tmp_path / "Images" / "targets", limits=limits)
    assert again == [(10, 12)]
    pd.testing.assert_frame_equal(found.table, whole.table, rtol=1e-12)
    found.forget()
    assert [path.name for path in tmp_path.iterdir() if "scores" in path.name] == []


def test_workers_give_the_same(study):
    alone = study.score(study.store.parent / "Images" / "targets")
    limits = ScoreLimits(images_per_task=5)
    with Client(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as client:
        found = score_images(
            study, study.store.parent / "Images" / "targets", connect=lambda: client, always_connect=True, limits=limits
        )
        one = study.score(study.store.parent / "Images" / "targets" / "2.png", client)
    pd.testing.assert_frame_equal(with_models(found.table), alone, rtol=1e-12, check_like=True)
    assert one["distinctiveness"].tolist() == alone[alone["image"] == "2"]["distinctiveness"].tolist()
    found.forget()


def test_a_study_that_changes_meanwhile_is_noticed(tmp_path, monkeypatch):
    study, real = finished(tmp_path), pipeline.score_chunk

    def changes(work, report):
        real(work, report)
        study.stored.distances.set_attributes(written=["2031-01-01T00:00:00+00:00", "2031-01-01T00:00:00+00:00"])

    def begins_again(work, report):
        study.stored.distances.remove()
        study.stored.reconstruction.remove()
        real(work, report)

    for change in (changes, begins_again):
        monkeypatch.setattr(pipeline, "score_chunk", change)
        with pytest.raises(InputError, match="was changed by another run"):
            study.score(files_of(study, SOME))


def test_the_study_is_only_read(study):
    before = {path: path.stat().st_mtime_ns for path in study.store.rglob("*")}
    study.score(files_of(study, SOME))
    assert {path: path.stat().st_mtime_ns for path in study.store.rglob("*")} == before


def test_an_older_store_gives_the_same(tmp_path):
    study = finished(tmp_path)
    shutil.rmtree(study.store / "reconstruction" / "unit_mean")
    assert_as_stored(study.score(files_of(study, SOME)), study)


# ---------------------------------------------------------------- through networks


def write_network(path, width, seed):
    rng = np.random.default_rng(seed)
    shapes = {"conv": (3, 3, 3, width), "fc": (width * 36, 30)}
    weights = {name: (rng.normal(size=shape).astype("f4"), np.zeros(shape[-1], "f4")) for name, shape in shapes.items()}
    write_vgg16(path, weights, layers=["conv", "pool", "flatten", "fc"], input_shape=("n", 3, 12, 12))


def study_of_networks(folder, name, n_targets):
    """A study of two networks and some of the targets there are."""
    rows = [
        f"Images/{i}.png,{'target' if i <= n_targets else 'filler'}" for i in [*range(1, n_targets + 1), *range(9, 17)]
    ]
    (folder / f"{name}.csv").write_text("\n".join(["path,role", *rows]) + "\n")
    settings = {"preprocessing": {"scale": "1/255", "size": [12, 12]}}
    models = [
        {"name": "one", "weights": "one.onnx", "layers": ["/pool", "/fc"], **settings},
        {"name": "two", "weights": "two.onnx", "layers": ["/fc"], "storage": "float16", **settings},
    ]
    content = {
        "store": f"{name}.zarr",
        "images": {"table": f"{name}.csv"},
        "models": models,
        "reconstruction": SETTINGS,
    }
    study = Study.from_dict(content, base=folder)
    study.run(stages=["extract", *MEASURED])
    return study


@pytest.fixture(scope="module")
def with_and_without(tmp_path_factory):
    """A study of eight targets, and one that lacks the last of them."""
    folder = tmp_path_factory.mktemp("networks")
    (folder / "Images").mkdir()
    for number in range(1, 17):
        pixels = skimage.data.coffee()[9 * number : 9 * number + 40, 11 * number : 11 * number + 40]
        Image.fromarray(pixels).save(folder / "Images" / f"{number}.png")
    write_network(folder / "one.onnx", 6, 0)
    write_network(folder / "two.onnx", 8, 1)
    return study_of_networks(folder, "with", 8), study_of_networks(folder, "without", 7)


def test_a_new_image_has_the_neighbours_that_a_study_with_it_finds(with_and_without):
    larger, study = with_and_without
    new = study.store.parent / "Images" / "8.png"
    table, wanted = study.score([new]), tidy_table(larger.store)
    wanted = wanted[wanted["image"] == "targets/8"]
    assert table["model"].tolist() == wanted["model"].tolist() == ["one", "one", "two"]
    assert table["layer"].tolist() == wanted["layer"].tolist()
    assert table["neighbour"].tolist() == wanted["neighbour"].tolist()
    assert table["distinctiveness"].tolist() == wanted["distinctiveness"].tolist()
    assert table["norm"].tolist() == wanted["norm"].tolist()
    assert table["in_study"].tolist() == [""] * 3
    np.testing.assert_allclose(table["reconstruction_error"], wanted["reconstruction_error"], rtol=0.5)
    among = study.score([study.store.parent / "Images" / f"{i}.png" for i in (12, 8, 3)])
    pd.testing.assert_frame_equal(among[among["image"] == "8"].reset_index(drop=True), table, rtol=1e-12)


def test_a_layer_that_was_given_back_still_has_reconstruction_errors(with_and_without):
    study, _ = with_and_without
    give_back(study.stored, "/fc@one")
    table = study.score([study.store.parent / "Images" / f"{i}.png" for i in (2, 11)], layers=["/fc"])
    errors = study.stored.reconstruction.load("error", layer="/fc@one")["error"].mean("seed").to_series()
    at = table[table["model"] == "one"]
    np.testing.assert_allclose(at["reconstruction_error"], errors[at["in_study"]], rtol=1e-9)
    assert at["distinctiveness"].isna().all()
    assert at["neighbour"].tolist() == ["", ""]
    assert table[table["model"] == "two"]["distinctiveness"].notna().all()
    said = "no distances at /fc@one: the activations were given back 20.*; `distspc run STUDY.yaml --extract-again`"
    assert re.match(said, table.attrs["notices"][0])


def test_a_network_that_is_not_the_studys_is_refused(with_and_without):
    _, study = with_and_without
    write_network(study.store.parent / "three.onnx", 6, 5)
    content = study.model_dump()
    content["models"][0]["weights"] = str(study.store.parent / "three.onnx")
    with pytest.raises(StoreMismatchError, match="weights was"):
        Study.from_dict(content, base=study.store.parent).score([study.store.parent / "Images" / "8.png"])
