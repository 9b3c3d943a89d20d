"""Tests of `distspc.memorability.readout`."""

from __future__ import annotations

from dataclasses import replace

import dask
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import RidgeCV
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from distspc.memorability import readout
from distspc.memorability.options import ReadoutOptions, RelateOptions
from distspc.store.group import Group
from distspc.store.notices import Notice
from distspc.store.store import Store
from distspc.testing.stores import image_ids, no_compute, write_image_table

FEW = ReadoutOptions(n_folds=5, penalties=(0.01, 0.1, 1.0, 10.0, 100.0), random_state=3)
SAMPLING = RelateOptions(n_bootstrap=200)


def features(n=60, n_features=30, seed=0):
    rng = np.random.default_rng(seed)
    return np.maximum(rng.standard_normal((n, 4)) @ rng.standard_normal((4, n_features)) + 1, 0)


def scores_of(x, seed=1):
    """Two scores that features give, and one that they do not; of the second some are missing."""
    rng = np.random.default_rng(seed)
    signal = (x - x.mean(axis=0)) @ rng.standard_normal(x.shape[1])
    noise = rng.standard_normal((len(x), 3))
    frame = pd.DataFrame({"hit": signal / signal.std(), "fa": -signal / signal.std(), "other": 0.0}) + noise
    frame.loc[rng.choice(len(x), 7, replace=False), "fa"] = np.nan
    return frame.set_axis(pd.Index(image_ids(len(x), 0), name="image"))


def explicit(x, y, options):
    """Predictions of scikit-learn from features, their means, and penalties, of images that have a score."""
    prediction, baseline = np.full(len(y), np.nan), np.full(len(y), np.nan)
    known = np.flatnonzero(np.isfinite(y))
    unit = ((x[known] - x[known].mean(axis=0)) ** 2).sum(axis=1).mean()
    penalties = []
    for fit, left in KFold(options.n_folds, shuffle=True, random_state=options.random_state).split(known):
        model = RidgeCV(unit * np.array(options.penalties)).fit(x[known[fit]], y[known[fit]])
        prediction[known[left]], baseline[known[left]] = model.predict(x[known[left]]), y[known[fit]].mean()
        penalties.append(model.alpha_ / unit)
    return prediction, baseline, np.array(penalties)


def explicit_row(x, y, options):
    """r and R^2 of these predictions."""
    prediction, baseline, penalties = explicit(x, y, options)
    known = np.isfinite(y)
    r = np.corrcoef(prediction[known] - baseline[known], y[known])[0, 1]
    return r, r2_score(y[known], prediction[known]), np.median(penalties)


@pytest.fixture
def store(tmp_path):
    """A store with the Gram matrices of two layers."""
    path = tmp_path / "s.zarr"
    ids = image_ids(60, 5)
    write_image_table(path, ids, 60)
    coords = {"layer": ["fc1", "fc2"], "target": ids[:60], "other_target": ids[:60]}
    Store(path).gram.allocate(coords=coords, chunks={}, recipe={"scaling": "none"})
    for row, seed in enumerate((0, 5)):
        x = features(seed=seed)
        Store(path).gram.write("gram", x @ x.T, layer=row)
    return Store(path)


# ---------------------------------------------------------------------------------------------- one readout


def test_a_readout_is_that_of_scikit_learn_for_the_targets_that_have_the_score():
    x = features()
    scores = scores_of(x)
    found = readout.read_out(x @ x.T, scores.to_numpy(), FEW)
    for column, name in enumerate(scores):
        expected = explicit(x, scores[name].to_numpy(), FEW)
        for values, wanted in zip(found, expected, strict=True):
            np.testing.assert_allclose(values[column], wanted, rtol=1e-8)


def test_a_known_share_of_variance_is_recovered():
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 20))
    signal = x @ rng.standard_normal(20)
    scores = signal[:, None] / signal.std() * np.sqrt([0.5, 0.2]) + rng.standard_normal((600, 2)) * np.sqrt([0.5, 0.8])
    sources = [readout.Source("activations", "", "fc2", readout.read_out(x @ x.T, scores, ReadoutOptions()))]
    frame = pd.DataFrame(scores, columns=["half", "fifth"])
    table = readout.readout_table(sources, pd.DataFrame(index=frame.index), frame, ReadoutOptions(), SAMPLING)
    np.testing.assert_allclose(table["r2"], [0.5, 0.2], atol=0.07)
    np.testing.assert_allclose(table["r"] ** 2, [0.5, 0.2], atol=0.07)
    assert ((table["ci_low"] < table["r"]) & (table["r"] < table["ci_high"])).all()


def test_permuted_scores_are_not_predicted():
    x = features(120, 300)
    score = scores_of(x)["hit"].to_numpy()
    rng = np.random.default_rng(0)
    permuted = np.stack([rng.permutation(score) for _ in range(60)], axis=1)
    found = readout.read_out(x @ x.T, permuted, ReadoutOptions())
    r = [np.corrcoef(p - b, y)[0, 1] for p, b, y in zip(found.prediction, found.baseline, permuted.T, strict=True)]
    assert -0.15 < np.mean(r) < 0.01  # predictions of folds are somewhat off to the other side, never to the own
    assert np.mean(np.array(r) > 1.65 / np.sqrt(120)) < 0.12
    r2 = [r2_score(y, p) for p, y in zip(found.prediction, permuted.T, strict=True)]
    assert np.mean(r2) < 0


def test_nothing_is_read_out_of_few_images_or_features_that_do_not_vary():
    scores = scores_of(features(30))[["hit", "fa", "other"]].iloc[:30]
    scores.iloc[9:, 1] = np.nan
    x = features(30)
    same = np.full((30, 5), 0.1) * np.sqrt(np.arange(1, 6))
    rounded = same @ same.T + 1e-16 * np.diag(np.arange(30.0))
    grams = ((x @ x.T, [1]), (rounded, [0, 1, 2]), (np.full((30, 30), 7.0), [0, 1, 2]), (np.zeros((30, 30)), [0, 1, 2]))
    for gram, lost in grams:
        found = readout.read_out(gram, scores.to_numpy(), FEW)
        assert [s for s in range(3) if all(np.isnan(values[s]).all() for values in found)] == lost
    sources = [readout.Source("activations", "", "fc2", found)]
    brought = pd.DataFrame({"net": scores["hit"] * 2})
    table = readout.readout_table(sources, brought, scores, FEW, SAMPLING)
    own = table[table["kind"] == "activations"]
    assert own[["r", "ci_low", "r2", "penalty"]].isna().all(axis=None)
    assert own["n"].tolist() == [0, 0, 0]
    assert table[table["kind"] == "prediction"]["r"].isna().tolist() == [False, True, False]
    assert [notice.text for notice in readout.readout_notices(table, scores, FEW)] == [
        "A readout needs 10 targets with a score; fewer have fa (8).",
        "Nothing is read out of fc2: the same for all targets with a score, or known of too few.",
    ]


# ---------------------------------------------------------------------------------------------- of every layer


def run(store, scores, options=FEW):
    missing = readout.missing(store, ["fc1", "fc2"], scores, options)
    with no_compute():
        if missing:
            readout.prepare(store, ["fc1", "fc2"], scores, options)
        tasks = readout.tasks(store, missing, scores, options)
    dask.compute(tasks, scheduler="synchronous")
    return missing


def test_layers_are_read_out_once_and_anew_for_other_scores_and_settings(store):
    scores = scores_of(features())
    assert run(store, scores) == ["fc1", "fc2"]
    assert run(store, scores) == []
    (store.path / "predicted" / "prediction" / "c" / "1" / "0" / "0").unlink()
    assert run(store, scores) == ["fc2"]
    other = scores.assign(hit=scores["hit"] + 1e-9)
    assert run(store, other) == ["fc1", "fc2"]
    assert run(store, other, ReadoutOptions(5, (1.0,))) == ["fc1", "fc2"]
    assert run(store, other[["hit"]]) == ["fc1", "fc2"]
    assert store.predicted.sizes["score"] == 1


def test_predictions_are_of_one_list_of_targets_names_of_scores_folds_penalties_and_seed(store):
    scores = scores_of(features())
    settings = [FEW, replace(FEW, penalties=(1.0,)), replace(FEW, n_folds=6), replace(FEW, random_state=4)]
    tables = [scores, scores.rename(index={"targets/7": "targets/x"}), scores.rename(columns={"hit": "hits"})]
    made = [readout.predicted_recipe(store, scores, options) for options in settings]
    made += [readout.predicted_recipe(store, table, FEW) for table in tables[1:]]
    assert all(a != b for i, a in enumerate(made) for b in made[:i])


def test_the_prediction_which_says_that_a_layer_is_done_is_written_last(store, monkeypatch):
    scores = scores_of(features())
    readout.prepare(store, ["fc1", "fc2"], scores, FEW)
    written = []
    monkeypatch.setattr(Group, "write", lambda self, name, *_, **__: written.append(name))
    readout.predict_layer(store, "fc1", scores.to_numpy(), FEW)
    assert written == ["penalty", "baseline", "prediction"]


def test_the_table_has_every_layer_and_score_and_what_others_predicted(store):
    scores = scores_of(features())
    run(store, scores)
    brought = pd.DataFrame({"resmem": scores["hit"].to_numpy() + 1}, index=scores.index)
    brought.iloc[:3] = np.nan
    sources = readout.stored_sources(store, ["fc1", "fc2"])
    table = readout.readout_table(sources, brought, scores, FEW, SAMPLING)
    assert len(table) == 9
    for layer, seed in (("fc1", 0), ("fc2", 5)):
        for score in scores:
            row = table[(table["layer"] == layer) & (table["score"] == score)].iloc[0]
            y = scores[score].to_numpy()
            np.testing.assert_allclose(row[["r", "r2", "penalty"]].tolist(), explicit_row(features(seed=seed), y, FEW))
            assert (row["kind"], row["n"], row["n_folds"]) == ("activations", np.isfinite(y).sum(), 5)
    row = table[(table["kind"] == "prediction") & (table["score"] == "hit")].iloc[0]
    assert (row["name"], row["layer"], row["n"], row["n_missing"]) == ("resmem", "", 57, 3)
    np.testing.assert_allclose(row["r"], 1)


def test_measures_are_read_out_together_standardised():
    x = features()
    scores = scores_of(x)
    frame = pd.DataFrame({f"m{i}:fc2": column * 10.0**i for i, column in enumerate(x.T[:4])}, index=scores.index)
    frame.iloc[5, 2] = np.nan
    (task,) = readout.joint_tasks(frame, {"all": list(frame)}, scores, FEW)
    found = task.compute(scheduler="synchronous")
    known = frame.notna().all(axis=1).to_numpy()
    z = np.zeros((len(x), 4))
    z[known] = StandardScaler().fit_transform(frame[known])
    y = np.where(known, scores["hit"], np.nan)
    np.testing.assert_allclose(found.prediction[0], explicit(z, y, FEW)[0], rtol=1e-8)


def test_what_is_said_is_kept_with_the_table(store):
    scores = scores_of(features())
    run(store, scores)
    sources = readout.stored_sources(store, ["fc2"])
    table = readout.readout_table(sources, pd.DataFrame(index=scores.index), scores, FEW, SAMPLING)
    readout.write_readout(store, table, recipe={"a": 1}, notices=[Notice("Something is missing.", warning=True)])
    assert store.readout.attributes["notices"] == {"readout": [["Something is missing.", True]]}
    assert store.readout.read("score").tolist() == ["hit", "fa", "other"]
