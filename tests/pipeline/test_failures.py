"""Layers and seeds that cannot be computed: the others are, to the bit, and what failed is named everywhere."""

import csv
import functools
import logging
import re
import shutil
import threading
from collections import Counter

import numpy as np
import pytest

from distspc.cli.main import main
from distspc.deployment.session import deploy
from distspc.distances import build as distances
from distspc.distances import finish, whole_rows
from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.imported import npy_import
from distspc.pipeline.compute import Part, compute, compute_parts
from distspc.pipeline.run import Study, run_stages
from distspc.reconstruction import build as reconstruct
from distspc.reconstruction import fit
from distspc.results.tidy import tidy_table
from distspc.store.failures import Failure, keep_failures, stored_failures
from distspc.store.store import Store
from distspc.tasks import refusals_as_values, task
from distspc.testing.stores import image_ids, make_store, one_direction_activations, relu_activations, write_activations
from distspc.testing.workers import crash_once, process_info, refuse

N_TARGETS, N_IMAGES = 16, 40
GOOD = {"fc2": relu_activations(N_IMAGES, 60, seed=1), "block5_pool": relu_activations(N_IMAGES, 50, seed=2)}
BAD = {
    "fc1": np.zeros((N_IMAGES, 60), np.float32),
    "block4_pool": np.full((N_IMAGES, 70), 3, np.float32),
    "block3_pool": np.where(np.arange(N_IMAGES)[:, None] == 25, np.float32(np.nan), relu_activations(N_IMAGES, 60)),
    "block2_pool": relu_activations(N_IMAGES, 10, seed=4),
}
STAGES = ("distances", "reconstruct", "relate", "report")
FAILED = {
    ("distances", "fc1", None): "all 40 images have the same",
    ("distances", "block4_pool", None): "all 40 images have the same",
    ("distances", "block3_pool", None): "NaN or infinite activations of image fillers/10",
    ("reconstruct", "fc1", 0): "percentile of the sampled activations is 0",
    ("reconstruct", "fc1", 1): "percentile of the sampled activations is 0",
    ("reconstruct", "block3_pool", 0): "NaN or infinity",
    ("reconstruct", "block3_pool", 1): "NaN or infinity",
    ("reconstruct", "block2_pool", None): "`units: 20` must be between 1 and 10",
}
"""What fails, by stage, layer and seed, with words of the reason."""


def make_study(folder, layers, **changes):
    """A study whose store holds the activations of these layers."""
    make_store(
        folder / "s.zarr",
        n_targets=N_TARGETS,
        n_fillers=len(next(iter(layers.values()))) - N_TARGETS,
        layers={name: values.shape[1] for name, values in layers.items()},
        activations=layers,
    )
    rows = (f"{i + 1},{0.3 + (7 * i % 16) / 40}\n" for i in range(N_TARGETS))
    (folder / "scores.csv").write_text("im_ind,hit\n" + "".join(rows))
    content = {
        "store": "s.zarr",
        "activations": "nowhere",
        "scores": {"file": "scores.csv", "columns": ["hit"]},
        "layers": list(layers),
        "reconstruction": {"units": 20, "codewords": 8, "batches": 3, "batch-size": 8, "seeds": [0, 1]},
        "relate": {"bootstrap": 20},
        "report": "report.html",
    }
    return Study.from_dict(content | changes, base=folder)


@pytest.fixture(scope="module")
def client():
    with deploy("local", overrides=("distspc.workers=1", "distspc.processes=false")) as client:
        yield client


@pytest.fixture
def executed(monkeypatch):
    """How often tasks were executed, by function and layer."""
    counts, lock = Counter(), threading.Lock()

    def counted(function):
        @functools.wraps(function)
        def call(*arguments, **named):
            settings = getattr(arguments[0], "options", arguments[0]) if arguments else None
            layer = named["layer"] if "layer" in named else getattr(settings, "layer", None)
            layer = layer if isinstance(layer, str) else arguments[2:3]
            with lock:
                counts[function.__name__, layer, named.get("seed")] += 1
            return function(*arguments, **named)

        return call

    for modules, name in (
        ((fit, reconstruct), "fit_seed"),
        ((whole_rows, distances), "search_rows"),
        ((finish, distances), "finish_layer"),
        ((npy_import,), "_import"),
    ):
        # A worker looks a function up by the name of its own module.
        replaced = counted(getattr(modules[0], name))
        for module in modules:
            monkeypatch.setattr(module, name, replaced)
    return counts


def failures_of(study):
    return {(one.stage, one.layer, one.seed): one.reason for one in stored_failures(study.stored)}


def results(store, layers):
    """Distances and errors by layer."""
    found = {}
    for group in ("distances", "reconstruction"):
        known = Store(store)[group].labels("layer")
        for name in set(Store(store).open()[group].dataset.data_vars):
            values = Store(store)[group].read(name)
            found |= {(group, name, layer): values[known.index(layer)] for layer in layers}
    return found


@pytest.fixture(scope="module")
def holey(client, tmp_path_factory):
    """A study with two good layers and four bad ones, run as far as can be."""
    study = make_study(tmp_path_factory.mktemp("holey"), GOOD | BAD)
    run_stages(study, lambda _: client, stages=STAGES)
    return study


@pytest.fixture
def copied(holey, tmp_path):
    """The study with holes, in a folder of its own."""
    shutil.copytree(holey.store.parent, tmp_path, dirs_exist_ok=True)
    changed = {"store": tmp_path / "s.zarr", "report": tmp_path / "report.html"}
    scores = holey.scores.model_copy(update={"file": tmp_path / "scores.csv"})
    return holey.model_copy(update={**changed, "scores": scores})


# ---------------------------------------------------------------- tasks


def test_a_refusing_task_is_executed_once_and_a_lost_worker_s_task_again(tmp_path):
    refused, lost = tmp_path / "refused", tmp_path / "lost"
    with deploy("local", overrides=("distspc.workers=1",)) as client:
        with refusals_as_values():
            bad = task(refuse)(str(refused))
            parts = [Part("bad", [bad, task(process_info)(bad)], "two"), Part("good", [task(process_info)(0.0)], "two")]
            dying = [Part("lost", [task(crash_once)(str(lost))], "a part that loses its worker")]
        found = compute_parts(parts, client)
        assert compute_parts(dying, client) == {}  # and what that worker held
        with refusals_as_values():
            again = [task(refuse)(str(refused))]
        with pytest.raises(InputError, match="no input is good enough"):
            compute(again, client, label="all or nothing")
    assert {part: str(error) for part, error in found.items()} == {"bad": "no input is good enough"}
    assert len(lost.read_text().splitlines()) == 2
    assert len(refused.read_text().splitlines()) == 2  # once in each computation


def test_tasks_in_this_process_refuse_their_part_alone(tmp_path):
    log = tmp_path / "refused"
    with refusals_as_values():
        bad = task(refuse)(str(log))
        parts = [Part("bad", [bad, task(process_info)([bad])], "here"), Part("good", [task(process_info)(0.0)], "here")]
    assert list(compute_parts(parts, None)) == ["bad"]
    assert len(log.read_text().splitlines()) == 1
    with pytest.raises(InputError, match="no input is good enough"):
        compute(parts[0].tasks, None, label="here")


def test_tasks_that_nobody_collects_raise_as_any_others(tmp_path):
    with pytest.raises(InputError, match="no input is good enough"):
        task(refuse)(str(tmp_path / "refused")).compute(scheduler="synchronous")


# ---------------------------------------------------------------- a study with bad layers


def test_everything_else_is_computed_to_the_bit(holey, client, tmp_path):
    other = make_study(tmp_path, GOOD)
    run_stages(other, lambda _: client, stages=STAGES)
    ours, theirs = results(holey.store, GOOD), results(other.store, GOOD)
    assert ours.keys() == theirs.keys()
    for key, values in ours.items():
        np.testing.assert_array_equal(values, theirs[key], err_msg=str(key))
    assert not stored_failures(other.stored)
    constant = results(holey.store, ["block4_pool"])["reconstruction", "error", "block4_pool"]
    np.testing.assert_array_equal(constant, 0)  # a constant layer can be coded, and has no neighbours


def test_what_failed_is_kept_with_its_reason(holey):
    found = failures_of(holey)
    assert found.keys() == FAILED.keys()
    for key, words in FAILED.items():
        assert words in found[key]
    assert Store(holey.store).relations.exists()
    assert holey.report.exists()
    assert not holey.store.with_name("s.zarr.units").exists()


def test_status_names_it(holey):
    rows = {(row.stage, row.layer): row for row in holey.status()}
    assert [key for key, row in rows.items() if row.failed] == [
        *(("distances", layer) for layer in ("fc1", "block4_pool", "block3_pool")),
        *(("reconstruct", layer) for layer in ("fc1", "block3_pool", "block2_pool")),
    ]
    assert rows["reconstruct", "fc1"].failed.startswith("seed 0: the 95th percentile")
    assert all(row.complete != bool(row.failed) for row in rows.values())


def test_tables_have_its_rows_with_empty_cells(holey):
    table = tidy_table(holey.store).set_index(["layer", "image"])
    assert len(table) == N_TARGETS * len(GOOD | BAD)
    assert table.loc[["fc1", "block3_pool"], ["distinctiveness", "reconstruction_error", "norm"]].isna().all(axis=None)
    assert (table.loc[["fc1", "block3_pool"], "neighbour"] == "").all()
    assert table.loc[[*GOOD, "block2_pool"], "distinctiveness"].notna().all()
    assert table.loc["block2_pool", "reconstruction_error"].isna().all()


def test_the_tree_and_its_file_name_it(holey, tmp_path):
    import json

    import xarray as xr

    tree = holey.results()
    rows = {(row["stage"], row["layer"], row["seed"]): row for row in tree.attrs["failures"]}
    assert rows.keys() == FAILED.keys()
    assert "take fc1 out of `layers`" in rows["distances", "fc1", None]["way_out"]
    with xr.open_datatree(tree.save_netcdf(tmp_path / "r.nc"), engine="h5netcdf") as saved:
        assert json.loads(saved.attrs["failures"]) == tree.attrs["failures"]


def test_the_report_names_it(holey):
    page = holey.report.read_text().split('id="problems"')[1].split("</section>")[0]
    for (stage, layer, seed), words in FAILED.items():
        title = f"{'Distances' if stage == 'distances' else 'Reconstruction'} of layer {layer}"
        title += "" if seed is None else f", seed {seed}"
        sentence = next(line for line in page.splitlines() if f"{title} failed: " in line)
        assert words in sentence
        assert f"take {layer} out of `layers`" in sentence
    assert "is missing for" not in page


def test_a_second_run_tries_only_what_failed(copied, client, executed):
    kept = {path: path.stat().st_mtime_ns for path in copied.store.rglob("c/**/*") if path.is_file()}
    written = copied.report.read_bytes()
    outcome = run_stages(copied, lambda _: client, stages=STAGES)
    assert {(one.stage, one.layer, one.seed) for one in outcome.failures} == FAILED.keys()
    layers = ("fc1", "block4_pool", "block3_pool")
    # Once each, whatever they ended with; what rests on a refusal is refused without being executed.
    assert {key: n for key, n in executed.items() if key[0] != "finish_layer"} == {
        **{("search_rows", layer, None): 1 for layer in layers},
        **{("fit_seed", layer, seed): 1 for layer in ("fc1", "block3_pool") for seed in (0, 1)},
    }
    assert {key[1]: n for key, n in executed.items() if key[0] == "finish_layer"} == {"fc1": 1, "block4_pool": 1}
    assert set(outcome.computed) == {"distances", "reconstruct"}
    assert {path: path.stat().st_mtime_ns for path in copied.store.rglob("c/**/*") if path.is_file()} == kept
    assert copied.report.read_bytes() == written


def test_what_is_mended_is_no_failure_any_more(copied, client):
    for layer in ("fc1", "block4_pool", "block3_pool"):
        values = relu_activations(N_IMAGES, BAD[layer].shape[1], seed=9)
        Store(copied.store).layer(layer).remove()
        write_activations(copied.store, layer, values, image_ids(N_TARGETS, N_IMAGES - N_TARGETS))
    outcome = run_stages(copied, lambda _: client, stages=STAGES)
    assert failures_of(copied).keys() == {("reconstruct", "block2_pool", None)}
    assert {"relate", "report"} <= set(outcome.computed)  # they rest on measures that were not there
    settings = copied.reconstruction.model_copy(update={"units": 10, "codewords": 5})
    changed = copied.model_copy(update={"reconstruction": settings})
    with pytest.raises(StoreMismatchError, match="n_units was 20, now 10"):
        run_stages(changed, lambda _: client, stages=["reconstruct"])
    run_stages(changed, lambda _: client, stages=["reconstruct"], redo=True)
    assert failures_of(copied) == {}
    assert all(row.complete for row in changed.status() if row.stage in ("distances", "reconstruct"))
    run_stages(changed, lambda _: client, stages=["relate", "report"])
    page = changed.report.read_text().split('id="problems"')[1].split("</section>")[0]
    assert "failed" not in page


def test_a_layer_left_out_of_the_study_is_not_spoken_of(copied, client):
    other = copied.model_copy(update={"layers": tuple(GOOD)})
    outcome = run_stages(other, lambda _: client, stages=STAGES)
    assert outcome.failures == []
    assert set(outcome.computed) == {"relate", "report"}
    assert "fc1" not in other.report.read_text().split('id="problems"')[1].split("</section>")[0]
    assert failures_of(copied).keys() == FAILED.keys()  # the other study of this store still has them


def test_a_control_that_failed_is_left_out_and_said(copied, client):
    relate = copied.relate.model_copy(update={"given": ("distinctiveness:fc1", "distinctiveness:block5_pool")})
    run_stages(copied.model_copy(update={"relate": relate}), lambda _: client, stages=["relate"])
    notices = Store(copied.store).relations.attributes["notices"]["given"]
    assert notices == [["distinctiveness:fc1 is not controlled for: it could not be computed.", True]]
    given = set(Store(copied.store).relations.read("given").tolist())
    assert "distinctiveness:block5_pool" in given
    wrong = copied.relate.model_copy(update={"given": ("distinctiveness:fc3",)})
    with pytest.raises(InputError, match="no measure distinctiveness:fc3 to control for"):
        run_stages(copied.model_copy(update={"relate": wrong}), lambda _: client, stages=["relate"])


def test_python_warns_and_does_not_raise(tmp_path, caplog):
    study = make_study(tmp_path, {name: (GOOD | BAD)[name] for name in ("fc2", "fc1")})
    with caplog.at_level(logging.WARNING, logger="distspc.pipeline.run"):
        tree = study.run(stages=STAGES)
    assert len(tree.attrs["failures"]) == 3
    assert "reconstruction of layer fc1, seed 1 failed: the 95th percentile" in caplog.text
    assert np.isfinite(tree.to_dataframe().query("layer == 'fc2'")["reconstruction_error"]).all()


def test_a_study_of_bad_layers_alone_goes_as_far_as_it_can(tmp_path):
    study = make_study(tmp_path, {"fc1": BAD["fc1"], "block3_pool": BAD["block3_pool"]})
    outcome = run_stages(study, lambda _: None, stages=STAGES)
    failed = [(one.stage, one.layer, one.seed) for one in outcome.failures]
    assert failed[0] == ("relate", "", None)
    assert set(failed[1:]) == {key for key in FAILED if key[1] in ("fc1", "block3_pool")}
    assert "Correlation with memorability failed: no layer has a measure" in study.report.read_text()
    assert len(tidy_table(study.store)) == 2 * N_TARGETS


def test_a_seed_that_diverges_stops_no_other(tmp_path, client):
    values = {"block1_pool": one_direction_activations(260, 1000)}
    settings = {"units": 630, "codewords": 330, "batches": 2, "batch-size": 250, "seeds": [0, 1], "step": "paper"}
    study = make_study(tmp_path, values, reconstruction=settings)
    outcome = run_stages(study, lambda _: client, stages=["reconstruct", "relate"])
    (failure,) = outcome.failures
    assert (failure.stage, failure.layer, failure.seed) == ("reconstruct", "block1_pool", 0)
    assert "training batch 2 of 2: the code diverged" in failure.reason
    error = Store(study.store).reconstruction.read("error")
    assert np.isfinite(error).all(axis=2).tolist() == [[False, True]]
    table = tidy_table(study.store).query("layer == 'block1_pool'")
    np.testing.assert_array_equal(table["reconstruction_error"], error[0, 1, :N_TARGETS])
    assert Store(study.store).relations.read("measure").tolist().count("reconstruction_error") > 0


def test_failures_are_replaced_by_part(tmp_path):
    make_store(tmp_path / "s.zarr", n_targets=2, n_fillers=0, layers={"fc2": 4})
    store, error = tmp_path / "s.zarr", InputError("reconstruction of layer fc1, seed 3: it is 0")
    kept = [Failure.of("reconstruct", "fc1", seed, error) for seed in (3, 4)]
    keep_failures(Store(store), "reconstruct", kept, layers=["fc1"], seeds=[3, 4])
    assert kept[0].reason == "it is 0"
    keep_failures(Store(store), "reconstruct", [], layers=["fc1"], seeds=[3, 5])
    keep_failures(Store(store), "distances", [], layers=["fc1"])
    keep_failures(Store(store), "reconstruct", [], layers=["fc2"], seeds=[4])
    assert stored_failures(Store(store)) == kept[1:]
    assert stored_failures(Store(store), layers=["fc2"]) == []
    assert stored_failures(Store(store), layers=["fc1"], seeds=[3]) == []


# ---------------------------------------------------------------- the command line


@pytest.fixture
def folder(tmp_path):
    """A study of activations as files: fc2 is good, fc1 all zeros, a file of block5_pool holds NaN."""
    layers = {"fc2": GOOD["fc2"], "fc1": BAD["fc1"], "block5_pool": BAD["block3_pool"]}
    for layer, values in layers.items():
        for role, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            (tmp_path / "A" / layer / role).mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(tmp_path / "A" / layer / role / f"{number}.npy", row[None])
    (tmp_path / "study.yaml").write_text(
        "store: s.zarr\nactivations: A\nlayers: [fc2, fc1, block5_pool]\nreport: r.html\n"
        "reconstruction: {units: 20, codewords: 8, batches: 3, batch-size: 8}\n"
    )
    return tmp_path


def command(capsys, *arguments):
    try:
        main(arguments)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


def test_the_command_line_says_what_failed_and_ends_with_2(folder, capsys, monkeypatch, executed):
    monkeypatch.chdir(folder)
    one = ("--set", "workers=1", "--set", "processes=false")
    code, out, err = command(capsys, "run", "study.yaml", *one)
    assert code == 2, err
    assert "Traceback" not in err
    assert executed["_import", ("block5_pool",), None] == 1
    for title, words in (
        ("activations of layer block5_pool", "10.npy' holds NaN or infinity"),
        ("distances of layer fc1", "the activations do not vary"),
        ("reconstruction of layer fc1, seed 0", "percentile of the sampled activations is 0"),
    ):
        assert words in next(line for line in out.splitlines() if line.startswith(f"{title} failed: "))
        assert words in next(line for line in err.splitlines() if line.startswith(f"failed: {title}: "))
    assert "3 parts of the study could not be computed; everything else is done" in err
    assert "report: " in out
    assert (folder / "r.html").exists()
    code, out, _ = command(capsys, "status", "study.yaml")
    assert code == 0
    state = {tuple(line.split()[:2]): line.split(maxsplit=2)[-1].strip() for line in out.splitlines()[1:]}
    assert state["distances", "fc2"] == "done"
    assert state["distances", "fc1"].startswith("failed: the activations do not vary")
    assert state["reconstruct", "block5_pool"] == "failed: it has no activations"
    code, out, _ = command(capsys, "export", "study.yaml", "out")
    assert code == 0
    with (folder / "out/results.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["layer"] in ("fc1", "block5_pool")]
    assert len(rows) == 2 * N_TARGETS
    assert {row[name] for row in rows for name in ("neighbour", "distinctiveness", "reconstruction_error")} == {""}


def test_the_command_line_after_mending_ends_with_0(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("distspc.pipeline.connections.Clusters.__call__", lambda self, stage: None)
    assert command(capsys, "run", "study.yaml")[0] == 2
    code, _, err = command(capsys, "distances", "study.yaml", "--redo")
    assert code == 2
    assert "failed: activations of layer block5_pool: activation" in err
    np.save(folder / "A/block5_pool/Fillers/10.npy", np.ones((1, 60), np.float32))
    text = (folder / "study.yaml").read_text()
    (folder / "study.yaml").write_text(text.replace("fc1, ", ""))
    code, out, err = command(capsys, "run", "study.yaml")
    assert code == 0, err
    assert "failed" not in out + err
    _, out, _ = command(capsys, "status", "study.yaml")
    assert all(re.search(r" done *( \(iterations a batch: .*\))?$", line) for line in out.splitlines()[1:])
    assert "Nothing to do" in command(capsys, "run", "study.yaml")[1]
