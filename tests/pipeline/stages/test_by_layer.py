"""Stages side by side: the longest first, and each layer as soon as its activations are there."""

import functools
import threading

import numpy as np
import pytest

from distspc.deployment.session import deploy
from distspc.distances import build as distances
from distspc.distances import reading, whole_rows
from distspc.errors import InputError
from distspc.extraction.imported import npy_import
from distspc.pipeline.run import Study, run_stages
from distspc.reconstruction import build as reconstruction
from distspc.reconstruction import fit, gather
from distspc.store.failures import stored_failures
from distspc.store.store import Store
from distspc.testing.stores import relu_activations

WIDTHS = {"fc2": 40, "block5_pool": 60}
N_TARGETS, N_IMAGES = 10, 24
PATIENCE_S = 60
STAGES = ["extract", "distances", "reconstruct"]


@pytest.fixture
def study(tmp_path):
    for seed, (layer, width) in enumerate(WIDTHS.items()):
        values = relu_activations(N_IMAGES, width, seed=seed)
        for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            (tmp_path / "A" / layer / name).mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(tmp_path / "A" / layer / name / f"{number}.npy", row[None])
    content = {
        "store": "s.zarr",
        "activations": "A",
        "layers": list(WIDTHS),
        "reconstruction": {"units": 20, "codewords": 8, "batches": 3, "batch-size": 8, "seeds": [0, 1]},
    }
    return Study.from_dict(content, base=tmp_path)


@pytest.fixture(scope="module")
def client():
    overrides = ("distspc.workers=2", "distspc.cores-per-worker=1", "distspc.processes=false")
    with deploy("local", overrides=overrides) as client:
        assert sum(client.nthreads().values()) == 2
        yield client


@pytest.fixture
def executed(monkeypatch):
    """Calls of tasks as (function, layer), in the order of their beginnings; a hook may wait in them."""
    calls, hooks, lock = [], {}, threading.Lock()

    def wrap(modules, name, layer_of):
        function = getattr(modules[0], name)

        @functools.wraps(function)  # a worker looks it up by the name of its own module
        def call(*arguments, **named):
            what = (name, layer_of(arguments, named))
            with lock:
                calls.append(what)
            hooks.get(what, lambda: None)()
            return function(*arguments, **named)

        for module in modules:
            monkeypatch.setattr(module, name, call)

    wrap((whole_rows, distances), "search_rows", lambda arguments, named: arguments[0].options.layer)
    wrap((fit, reconstruction), "fit_seed", lambda arguments, named: named["layer"])
    wrap((npy_import,), "_import", lambda arguments, named: arguments[2])
    return calls, hooks


def wait(event):
    def hook():
        assert event.wait(PATIENCE_S), "the other task has not begun beside this one"

    return hook


def test_distances_and_reconstruction_run_side_by_side(study, client, executed):
    _, hooks = executed
    fitting, searching = threading.Event(), threading.Event()

    def fit_first():
        fitting.set()
        wait(searching)()

    def search():
        searching.set()
        wait(fitting)()

    hooks |= {("fit_seed", "block5_pool"): fit_first, ("search_rows", "fc2"): search}
    run_stages(study, lambda _: client, stages=STAGES)
    assert fitting.is_set()
    assert searching.is_set()


def test_a_layer_goes_on_while_another_is_imported(study, client, executed):
    calls, hooks = executed
    fitted = threading.Event()
    hooks |= {("_import", "block5_pool"): wait(fitted), ("fit_seed", "fc2"): fitted.set}
    run_stages(study, lambda _: client, stages=STAGES)
    assert calls.index(("fit_seed", "fc2")) > calls.index(("_import", "fc2"))
    assert calls.count(("fit_seed", "block5_pool")) == 2
    for group in ("distances", "reconstruction"):  # whichever came first
        assert Store(study.store)[group].labels("layer") == list(WIDTHS)


def test_of_tasks_that_could_begin_the_longest_do(study, executed):
    calls, _ = executed
    with deploy(
        "local", overrides=("distspc.workers=1", "distspc.cores-per-worker=1", "distspc.processes=false")
    ) as one:
        run_stages(study, lambda _: one, stages=["extract"])
        calls.clear()
        run_stages(study, lambda _: one, stages=["distances", "reconstruct"])
    assert calls[:4] == [("fit_seed", "block5_pool")] * 2 + [("fit_seed", "fc2")] * 2
    assert calls[4:] == [("search_rows", "block5_pool"), ("search_rows", "fc2")]


def test_stages_in_different_places_run_one_after_the_other(study, executed):
    calls, _ = executed
    opened = []
    run_stages(study, lambda stage: opened.append(stage), stages=STAGES, place=lambda stage: stage)
    assert opened == STAGES
    assert [name for name, _ in calls] == ["_import"] * 2 + ["search_rows"] * 2 + ["fit_seed"] * 4


@pytest.mark.parametrize("on_client", [False, True])
def test_results_do_not_depend_on_what_runs_beside_them(study, client, on_client):
    alone = study.model_copy(update={"store": study.store.with_name("alone.zarr")})
    run_stages(alone, lambda _: None, stages=STAGES, place=lambda stage: stage)
    run_stages(study, lambda _: client if on_client else None, stages=STAGES)
    for group in ("distances", "reconstruction"):
        for name in Store(alone.store).open()[group].dataset.data_vars:
            ours, theirs = (Store(s.store)[group].read(name) for s in (study, alone))
            if ours.dtype.kind == "f":  # the number of threads of a product decides the last bit
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-12, err_msg=name)
            else:
                np.testing.assert_array_equal(ours, theirs, err_msg=name)


@pytest.mark.parametrize("on_client", [False, True])
def test_a_bad_import_stops_its_layer_alone_and_progress_ends(study, client, on_client):
    bad = study.activations.folder / "fc2/Fillers/3.npy"
    np.save(bad, np.full((1, WIDTHS["fc2"]), np.nan, np.float32))
    np.save(study.activations.folder / "fc2/Fillers/2.npy", np.zeros((1, 7), np.float32))
    reports = []
    outcome = run_stages(
        study, lambda _: client if on_client else None, stages=STAGES, progress=lambda *report: reports.append(report)
    )
    assert [(one.stage, one.layer) for one in outcome.failures] == [("extract", "fc2")]
    assert outcome.computed["distances"] == 2
    last = {label: (n_done, n_tasks) for label, n_done, n_tasks in reports}
    assert last["distances"] == (2, 2)
    assert last["reconstruct"] == (2, 2)
    assert all(n_done <= n_tasks for _, n_done, n_tasks in reports)
    np.save(bad, relu_activations(1, WIDTHS["fc2"]))
    np.save(study.activations.folder / "fc2/Fillers/2.npy", relu_activations(1, WIDTHS["fc2"], seed=9))
    again = run_stages(study, lambda _: client if on_client else None, stages=STAGES)
    assert again.failures == []
    assert stored_failures(Store(study.store)) == []
    assert again.computed == {"import activations": 1, "distances": 2, "reconstruct": 2}


def test_a_task_that_fails_otherwise_stops_all(study, client, executed):
    _, hooks = executed

    def fail():
        raise RuntimeError("no such thing")

    hooks["search_rows", "fc2"] = fail
    with pytest.raises(Exception, match="no such thing"):
        run_stages(study, lambda _: client, stages=STAGES)
    hooks.clear()
    assert run_stages(study, lambda _: client, stages=STAGES).failures == []


def test_nothing_missing_asks_for_no_cluster(study):
    run_stages(study, lambda _: None, stages=STAGES)

    def refuse(stage):
        raise InputError(f"asked for a cluster for {stage}")

    assert run_stages(study, refuse, stages=STAGES).computed == {}


def test_fits_begin_without_the_memory_that_distances_keep(study, monkeypatch):
    run_stages(study, lambda _: None, stages=["extract"])
    for function in ("gather_units", "fit_seed"):
        module = gather if function == "gather_units" else fit
        reading._spare.keep(np.empty((1, 1), np.float32))
        inner = module.free_spare_memory

        def look(inner=inner):
            inner()
            assert reading._spare.take() is None

        monkeypatch.setattr(module, "free_spare_memory", look)
    assert run_stages(study, lambda _: None, stages=["reconstruct"]).failures == []
    assert reading._spare.take() is None
