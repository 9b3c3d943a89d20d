"""The reconstruction stage: the method's numbers out of a store, only what is missing, bad input told."""

from __future__ import annotations

import logging
import re
import shutil
from pathlib import Path

import dask
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_limits

from distspc.errors import InputError, StoreMismatchError
from distspc.kernels.sparse_coding.iteration import Rule
from distspc.kernels.statistics.reliability import seed_reliability
from distspc.reconstruction.build import fit_sparse_code
from distspc.reconstruction.options import ReconstructionOptions
from distspc.report import sentences
from distspc.results import training
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.testing.stores import (
    make_store,
    no_compute,
    one_direction_activations,
    relu_activations,
    write_moments,
)

N_TARGETS, N_IMAGES, N_FEATURES = 50, 150, 300
MODEL = {"n_units": 60, "n_codewords": 30, "n_batches": 8, "batch_size": 40}


def compute(tasks):
    return dask.compute(*tasks, scheduler="synchronous")


def new_store(path, **more):
    given = {"n_targets": N_TARGETS, "n_fillers": N_IMAGES - N_TARGETS, "layers": {"fc2": N_FEATURES}}
    return make_store(path, **(given | {"chunks": {"image": 16, "feature": 100}} | more))


@pytest.fixture
def store(tmp_path):
    path = tmp_path / "study.zarr"
    new_store(path)
    return path


@pytest.fixture(scope="module")
def values(tmp_path_factory):
    return new_store(tmp_path_factory.mktemp("values") / "s.zarr")["fc2"]


def read(store, name, **index):
    return Store(store).reconstruction.read(name, **index)


@pytest.fixture(autouse=True, scope="module")
def one_blas_thread():
    """Small matrices, many of them: on a busy machine, threads of BLAS wait for each other most of the time."""
    with threadpool_limits(1, "blas"):
        yield


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("train_on", ["all", "fillers"])
def test_errors_are_those_of_the_method_for_every_seed(store, values, train_on, literal):
    with no_compute():
        tasks = fit_sparse_code(store, layer="fc2", seeds=[0, 7], train_on=train_on, **MODEL)
    assert compute(tasks) == tuple({"layer": "fc2", "seed": seed, "n_not_converged": 0} for seed in (0, 7))

    n_targets = N_TARGETS if train_on == "fillers" else None
    for i, seed in enumerate([0, 7]):
        expected = literal.fit(seed, values, 60, 30, 8, 40, n_targets=n_targets)
        np.testing.assert_allclose(read(store, "error", layer=0, seed=i), expected, rtol=1e-9)


def test_units_dictionary_and_training_are_stored(store, values, literal):
    compute(fit_sparse_code(store, layer="fc2", seeds=[4], **MODEL))
    rng, units, X, phi = literal.draw(4, values, 60, 30)
    dictionary, training_error, n_steps, converged = literal.train(X, phi, rng, 8, 40)
    _, encode_steps, encode_converged = literal.reconstruct(X, dictionary)
    at = {"layer": 0, "seed": 0}
    np.testing.assert_array_equal(read(store, "sampled_unit", **at), units)
    np.testing.assert_allclose(read(store, "dictionary", **at), dictionary, atol=1e-12)
    np.testing.assert_allclose(read(store, "training_error", **at), training_error, rtol=1e-10)
    np.testing.assert_array_equal(read(store, "n_steps", **at), n_steps)
    np.testing.assert_array_equal(read(store, "converged", **at), converged)
    assert (read(store, "encode_steps", **at), read(store, "encode_converged", **at)) == (
        encode_steps,
        encode_converged,
    )
    assert read(store, "scale", **at) == np.quantile(np.abs(values[:, units]), 0.95)


@pytest.mark.parametrize("solver", ["paper", "converged", "pca"])
def test_a_task_short_of_memory_keeps_no_passes_then_spills_to_disk_and_gives_the_same(tmp_path, solver):
    found = []
    settings = ReconstructionOptions(**MODEL, sparsity=1e-3, train_on="all", precision="float64", solver=solver)
    for i, memory in enumerate([None, settings.held(N_IMAGES, None).nbytes - 1, settings.task_nbytes + 1000]):
        path = tmp_path / f"{i}.zarr"
        new_store(path)
        compute(fit_sparse_code(path, layer="fc2", seeds=[0], solver=solver, memory_nbytes=memory, **MODEL))
        found.append(read(path, "error"))
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0.zarr", "1.zarr", "2.zarr"]


@settings(deadline=None, max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunk=st.integers(1, 200), features=st.integers(30, 300))
def test_any_chunks_give_the_same(tmp_path_factory, values, chunk, features, literal):
    path = tmp_path_factory.mktemp("chunks") / "s.zarr"
    new_store(path, chunks={"image": chunk, "feature": features})
    model = MODEL | {"n_batches": 2}
    compute(fit_sparse_code(path, layer="fc2", seeds=[1], **model))
    np.testing.assert_allclose(read(path, "error", layer=0, seed=0), literal.fit(1, values, 60, 30, 2, 40), rtol=1e-9)


def test_solvers_share_the_sampled_units_and_rank_images_alike(tmp_path):
    errors, units = {}, {}
    for solver in ("paper", "converged", "pca"):
        path = tmp_path / f"{solver}.zarr"
        new_store(path)
        compute(fit_sparse_code(path, layer="fc2", seeds=[0], solver=solver, **MODEL))
        errors[solver], units[solver] = read(path, "error", layer=0, seed=0), read(path, "sampled_unit")
    np.testing.assert_array_equal(units["pca"], units["paper"])
    np.testing.assert_array_equal(units["converged"], units["paper"])
    assert errors["pca"].mean() < errors["converged"].mean() < errors["paper"].mean()


def test_float32_is_close(tmp_path):
    found = []
    for precision in ("float64", "float32"):
        new_store(tmp_path / f"{precision}.zarr")
        compute(fit_sparse_code(tmp_path / f"{precision}.zarr", layer="fc2", seeds=[0], precision=precision, **MODEL))
        found.append(read(tmp_path / f"{precision}.zarr", "error", layer=0, seed=0))
    assert np.corrcoef(*found)[0, 1] > 0.9999


# ---------------------------------------------------------------- only what is missing


def test_done_seeds_are_left_alone_and_others_added(store):
    assert len(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL)) == 1
    compute(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL))
    first = read(store, "error", layer=0, seed=0)
    assert fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL) == []
    tasks = fit_sparse_code(store, layer="fc2", seeds=[0, 1], **MODEL)
    assert [task.key.split("-")[0] for task in tasks] == ["reconstruct:fc2"]
    compute(tasks)
    np.testing.assert_array_equal(read(store, "error", layer=0, seed=0), first)
    assert np.isfinite(read(store, "error")).all()


def test_gathered_units_outlive_a_stop_and_go_when_all_is_done(store, monkeypatch):
    reads = []
    real = Group.read
    monkeypatch.setattr(Group, "read", lambda group, *a, **k: (reads.append(group.name), real(group, *a, **k))[1])
    first, second = fit_sparse_code(store, layer="fc2", seeds=[0, 1], **MODEL)
    compute([first])
    n_chunks = -(-N_IMAGES // 16)
    assert reads.count("activations/fc2") == n_chunks  # one pass over the layer's chunks, for both seeds
    units = Path(f"{store}.units")
    assert len(list(units.glob("fc2-*/*.npy"))) > 1
    (again,) = fit_sparse_code(store, layer="fc2", seeds=[0, 1], **MODEL)
    assert again.key == second.key
    compute([again])
    assert reads.count("activations/fc2") == n_chunks
    assert not units.exists()


def test_a_stop_before_the_errors_are_written_is_made_good(store, monkeypatch):
    real = Group.write

    def stop(group, name, *args, **index):
        if name == "error":
            raise KeyboardInterrupt
        real(group, name, *args, **index)

    with monkeypatch.context() as patched:
        patched.setattr(Group, "write", stop)
        with pytest.raises(KeyboardInterrupt):
            compute(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL))
    tasks = fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL)
    assert len(tasks) == 1
    compute(tasks)
    assert np.isfinite(read(store, "error")).all()


def test_another_model_on_the_same_store_is_refused(store):
    fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL)
    with pytest.raises(StoreMismatchError, match="n_codewords was 30, now 31"):
        fit_sparse_code(store, layer="fc2", seeds=[0], **(MODEL | {"n_codewords": 31}))


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"n_units": 301}, "`units: 301` must be between 1 and 300: fc2 has 300 features"),
        (
            {"n_codewords": 61, "solver": "pca"},
            "`codewords: 61` must be between 1 and 60: there are no more components",
        ),
        ({"batch_size": 0}, "`batch-size: 0` must be at least 1"),
        ({"seeds": [1, 1]}, "`seeds` of fc2 must be different"),
        ({"seeds": [-1]}, "`seeds` of fc2 must be different whole numbers"),
        ({"memory_nbytes": 1000}, "fc2: a batch of 40 .* a task may use 1000 B: lower `batch-size`"),
    ],
)
def test_settings_that_do_not_fit_are_refused_before_any_work(store, more, told):
    with pytest.raises(InputError, match=told):
        fit_sparse_code(store, layer="fc2", **({"seeds": [0]} | MODEL | more))
    assert not Store(store).reconstruction.exists()


def test_training_on_fillers_needs_fillers(tmp_path):
    new_store(tmp_path / "s.zarr", n_fillers=0)
    with pytest.raises(InputError, match="fc2: `train-on: fillers`, but the study has no fillers"):
        fit_sparse_code(tmp_path / "s.zarr", layer="fc2", seeds=[0], train_on="fillers", **MODEL)


def test_more_codewords_than_units_is_said(store, caplog):
    with caplog.at_level(logging.WARNING):
        fit_sparse_code(store, layer="fc2", seeds=[0], **(MODEL | {"n_codewords": 70}))
    assert "fc2: more codewords (70) than units (60)" in caplog.text


@pytest.mark.parametrize(("bad", "told"), [(0.0, r"percentile .* is 0 \(100.0%"), (np.nan, "NaN or infinity")])
def test_activations_that_cannot_be_used_name_layer_and_seed(tmp_path, bad, told):
    values = np.zeros((N_IMAGES, N_FEATURES), np.float32) + np.float32(bad)
    new_store(tmp_path / "s.zarr", activations={"fc2": values})
    with pytest.raises(InputError, match=f"layer fc2, seed 3: .*{told}"):
        compute(fit_sparse_code(tmp_path / "s.zarr", layer="fc2", seeds=[3], **MODEL))


def test_batches_that_do_not_converge_are_stored_and_said(store, monkeypatch, caplog):
    rule = Rule(max_steps=2)
    monkeypatch.setattr(ReconstructionOptions, "rule", rule)
    with caplog.at_level(logging.WARNING):
        (summary,) = compute(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL))
    assert summary["n_not_converged"] == 8
    assert "fc2, seed 0: 8 of 8 batches did not converge" in caplog.text
    assert not read(store, "converged").any()
    assert not read(store, "encode_converged").any()


def test_the_log_says_how_many_iterations_batches_take(store, caplog):
    with caplog.at_level(logging.INFO, logger="distspc"):
        compute(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL))
    n = read(store, "n_steps").ravel()
    words = f"fc2, seed 0: batch 8 of 8, {n.mean():.1f} iterations a batch of the last 8 (most: {n.max()})"
    assert words in caplog.text
    words = f"fc2, seed 0: trained in 8 batches; iterations a batch: median {np.median(n):.0f}, most {n.max()}\n"
    assert words in caplog.text


def test_a_code_that_diverges_names_layer_seed_and_batch(store, monkeypatch):
    monkeypatch.setattr(ReconstructionOptions, "rule", Rule(step=100.0))
    with pytest.raises(
        InputError, match=r"layer fc2, seed 2: training batch 1 of 8: the code diverged .*`step: stable`"
    ):
        compute(fit_sparse_code(store, layer="fc2", seeds=[2], **MODEL))


@pytest.mark.parametrize("n_images", [1, 4, 40])
def test_batches_may_be_larger_than_the_set(tmp_path, n_images, literal):
    values = relu_activations(n_images, 300)
    new_store(tmp_path / "s.zarr", n_targets=1, n_fillers=n_images - 1, activations={"fc2": values})
    model = {"n_units": 30, "n_codewords": 310, "n_batches": 4, "batch_size": 250}
    compute(fit_sparse_code(tmp_path / "s.zarr", layer="fc2", seeds=[0], **model))
    expected = literal.fit(0, values, 30, 310, 4, 250)
    np.testing.assert_allclose(read(tmp_path / "s.zarr", "error", layer=0, seed=0), expected, rtol=1e-8)


LEANING = {"n_units": 800, "n_codewords": 400, "n_batches": 4, "batch_size": 250}


def leaning_store(path):
    """A store whose activations vary along one direction, for which the paper's step diverges in the second batch."""
    values = one_direction_activations(300, 1000)
    new_store(path, n_fillers=300 - N_TARGETS, layers={"fc2": 1000}, activations={"fc2": values})
    return path, values


def test_the_stable_step_is_the_default_and_stores_what_it_shortened(tmp_path, literal):
    path, values = leaning_store(tmp_path / "s.zarr")
    compute(fit_sparse_code(path, layer="fc2", seeds=[0], **LEANING))
    rng, _, X, phi = literal.draw(0, values, 800, 400)
    dictionary, training_error, n_steps, shares = literal.train_stable(X, phi, rng, 4, 250)
    at = {"layer": 0, "seed": 0}
    assert 0 < (shares < 1).sum() < 4
    assert read(path, "n_shortened", **at) == (shares < 1).sum()
    assert read(path, "smallest_step", **at) == pytest.approx(0.01 * shares.min(), rel=1e-8)
    np.testing.assert_array_equal(read(path, "n_steps", **at), n_steps)
    np.testing.assert_allclose(read(path, "training_error", **at), training_error, rtol=1e-7)
    counted = training.shortened(Store(path), ["fc2"])
    assert counted == {"fc2": ((shares < 1).sum(), 4, pytest.approx(0.01 * shares.min()))}
    said = r"At fc2, the step of \d of 4 training batches was shortened, to 0\.00\d+ at least: 0\.01 diverges there\."
    assert re.fullmatch(said, sentences.step_sentence(counted))
    f = literal.share(dictionary)
    _, e, _, n = literal.encode_shortened(X - X.mean(), dictionary, f)
    assert read(path, "encode_steps", **at) == n
    assert read(path, "encode_step", **at) == pytest.approx(0.01 * f, rel=1e-8)
    np.testing.assert_allclose(read(path, "error", **at), np.mean(e**2, axis=1), rtol=1e-6)


def test_the_papers_step_fails_there_with_the_facts_and_the_way_out(tmp_path):
    path, _ = leaning_store(tmp_path / "s.zarr")
    what = (
        r"layer fc2, seed 0: training batch 2 of 4: the code diverged after \d+ steps: \|\|Phi\|\|\^2 .* is 2\d\d.*, "
        r"and a step of 0.01 converges only below 200 \(the first principal component holds 9\d% .*`step: stable`"
    )
    with pytest.raises(InputError, match=what):
        compute(fit_sparse_code(path, layer="fc2", seeds=[0], step="paper", **LEANING))


def test_both_steps_give_the_same_bits_where_the_papers_converges(tmp_path):
    for step in ("paper", "stable"):
        new_store(tmp_path / f"{step}.zarr")
        compute(fit_sparse_code(tmp_path / f"{step}.zarr", layer="fc2", seeds=[0, 1], step=step, **MODEL))
    for name in ("error", "dictionary", "training_error", "n_steps", "encode_steps", "n_shortened", "smallest_step"):
        paper, stable = (read(tmp_path / f"{step}.zarr", name) for step in ("paper", "stable"))
        np.testing.assert_array_equal(stable, paper)
    assert not read(tmp_path / "stable.zarr", "n_shortened").any()
    with pytest.raises(StoreMismatchError, match=r"step was .stable., now .paper."):
        fit_sparse_code(tmp_path / "stable.zarr", layer="fc2", seeds=[0, 1], step="paper", **MODEL)


def test_a_store_from_before_the_step_could_be_chosen_is_complete_and_grows(store):
    compute(fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL))
    group = store / "reconstruction"
    for name in ("n_shortened", "smallest_step", "encode_step"):
        shutil.rmtree(group / name)
    recipe = Store(store).reconstruction.attributes["recipe"]
    Store(store).reconstruction.set_attributes(recipe={k: v for k, v in recipe.items() if k != "step"})
    before = read(store, "error", layer=0, seed=0)

    assert fit_sparse_code(store, layer="fc2", seeds=[0], **MODEL) == []
    assert training.shortened(Store(store), ["fc2"]) == {}
    assert not (group / "n_shortened").exists()
    compute(fit_sparse_code(store, layer="fc2", seeds=[0, 1], **MODEL))
    assert fit_sparse_code(store, layer="fc2", seeds=[0, 1], **MODEL) == []
    np.testing.assert_array_equal(read(store, "error", layer=0, seed=0), before)
    assert read(store, "n_shortened", layer=0).tolist() == [-1, 0]


# ---------------------------------------------------------------- reliability


def test_reliability_over_seeds_of_a_store(store):
    compute(fit_sparse_code(store, layer="fc2", seeds=range(4), **MODEL))
    found = seed_reliability(read(store, "error", layer=0))
    assert found.n_repeats == 4
    assert 0 < found.icc < found.mean_icc < 1


def test_a_second_set_of_activations_does_not_use_units_gathered_from_the_first(tmp_path, literal):
    path = tmp_path / "s.zarr"
    new_store(path)
    compute(fit_sparse_code(path, layer="fc2", seeds=[0, 1], **MODEL)[:1])
    Store(path).layer("fc2").remove()
    Store(path).reconstruction.remove()
    values = relu_activations(N_IMAGES, N_FEATURES + 1, seed=9)
    new_store(path, layers={"fc2": N_FEATURES + 1}, activations={"fc2": values})
    compute(fit_sparse_code(path, layer="fc2", seeds=[0, 1], **MODEL))
    np.testing.assert_allclose(read(path, "error", layer=0, seed=0), literal.fit(0, values, 60, 30, 8, 40), rtol=1e-9)


@pytest.mark.parametrize("solver", ["paper", "pca"])
def test_errors_of_scaled_features_are_those_of_standardised_activations(tmp_path, solver):
    raw, standardised = tmp_path / "raw.zarr", tmp_path / "z.zarr"
    x = new_store(raw)["fc2"].astype(float)
    sd = x.std(axis=0)
    z = ((x - x.mean(axis=0)) / np.where(sd == 0, 1, sd)).astype(np.float32)
    new_store(standardised, activations={"fc2": z})
    with pytest.raises(InputError, match="run the stage extract first"):
        fit_sparse_code(raw, layer="fc2", seeds=[0], scaling="z-score", **MODEL)
    write_moments(raw, "fc2")
    compute(fit_sparse_code(raw, layer="fc2", seeds=[0], scaling="z-score", solver=solver, **MODEL))
    compute(fit_sparse_code(standardised, layer="fc2", seeds=[0], solver=solver, **MODEL))
    np.testing.assert_array_equal(read(raw, "error"), read(standardised, "error"))
    np.testing.assert_array_equal(read(raw, "scale"), read(standardised, "scale"))
    with pytest.raises(StoreMismatchError, match='scaling was "z-score", now "none"'):
        fit_sparse_code(raw, layer="fc2", seeds=[0], solver=solver, **MODEL)
