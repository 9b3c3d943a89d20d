"""The whole study: the same numbers on any scheduler, resumed without waste, refused where it must be."""

import re
import shutil
import sys

import numpy as np
import pytest

from distspc.distances import reading
from distspc.errors import InputError, StoreMismatchError, WorkerError
from distspc.pipeline.compute import available_workers
from distspc.pipeline.run import Study, run_stages
from distspc.pipeline.stages.relate import Relate
from distspc.pipeline.stages.report import fingerprint
from distspc.results.authors_layout import export_results
from distspc.store.store import Store
from distspc.study.images import count_images
from distspc.testing.stores import relu_activations

N_TARGETS, N_FILLERS = 30, 50
LAYERS = {"fc2": 300, "block5_pool": 500}


@pytest.fixture(scope="module")
def authors_layout(tmp_path_factory):
    """Activations as the authors keep them: a file per image and layer, shape (1, n_features)."""
    root = tmp_path_factory.mktemp("study")
    for i, (layer, n_features) in enumerate(LAYERS.items()):
        values = relu_activations(N_TARGETS + N_FILLERS, n_features, seed=i)
        values[5] = values[40]
        for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
            folder = root / "Activations" / layer / name
            folder.mkdir(parents=True)
            for number, row in enumerate(rows, start=1):
                np.save(folder / f"{number}.npy", row[None])
    rng = np.random.default_rng(0)
    lines = ["im_ind,hit", *(f"{i + 1},{rng.uniform():.4f}" for i in range(N_TARGETS))]
    (root / "scores.csv").write_text("\n".join(lines) + "\n")
    return root


def make_study(root, store, **changes):
    content = {
        "store": str(store),
        "activations": "Activations",
        "scores": {"file": "scores.csv", "columns": ["hit"]},
        "layers": list(LAYERS),
        "reconstruction": {"units": 60, "codewords": 20, "batches": 6, "batch-size": 16, "seeds": [0, 3]},
        "relate": {"bootstrap": 50},
        "report": str(store.with_suffix(".html")),
        **changes,
    }
    return Study.from_dict(content, base=root)


@pytest.fixture(scope="module")
def finished(authors_layout, tmp_path_factory):
    store = tmp_path_factory.mktemp("reference") / "s.zarr"
    study = make_study(authors_layout, store)
    study.run()
    return study


def test_what_killed_writers_left_is_looked_for_after_they_were_at_work(authors_layout, tmp_path):
    study = make_study(authors_layout, tmp_path / "s.zarr")
    run_stages(study, lambda _: None, stages=["extract"])
    left = study.store / "activations/fc2/activation/c/0/0.abc.partial"
    left.write_bytes(b"half")
    run_stages(study, lambda _: None, stages=["extract"])
    assert left.exists()  # nothing to do, and no writer since the last look

    def fail(label, n_done, n_tasks):
        if n_done:
            raise RuntimeError("stopped")

    with pytest.raises(RuntimeError, match="stopped"):
        run_stages(study, lambda _: None, stages=["distances"], progress=fail)
    run_stages(study, lambda _: None, stages=["extract"])
    assert not left.exists()


def results(store):
    """Every result of a store, by group and variable."""
    return {
        (group, name): Store(store)[group].read(name)
        for group in ("distances", "reconstruction", "relations")
        for name in Store(store).open()[group].dataset.variables
    }


def assert_same_results(store, reference):
    ours, theirs = results(store), results(reference)
    assert ours.keys() == theirs.keys()
    for key, values in ours.items():
        if key == ("distances", "pool_distance") or (key[0] == "relations" and values.dtype.kind == "f"):
            # The mean over the pool comes from float32 products, whose rounding depends on the tiles.
            np.testing.assert_allclose(values, theirs[key], rtol=1e-6, atol=1e-7, err_msg=str(key))
        elif key[0] == "reconstruction" and values.dtype.kind == "f":
            # The last bit of a float64 product depends on the number of threads.
            np.testing.assert_allclose(values, theirs[key], rtol=1e-12, atol=1e-14, err_msg=str(key))
        else:
            np.testing.assert_array_equal(values, theirs[key], err_msg=str(key))


def test_every_stage_is_done(finished):
    assert all(row.complete for row in finished.status())
    assert finished.report.stat().st_size > 10_000


def refuse(stage):
    raise AssertionError(f"a study that needs no cluster asked for one for {stage}")


def test_second_run_computes_nothing(finished):
    assert run_stages(finished, refuse).computed == {}


def test_two_worker_processes_give_the_same_numbers(finished, authors_layout, tmp_path):
    from distspc.deployment.session import deploy

    study = make_study(authors_layout, tmp_path / "s.zarr")
    with deploy("local", overrides=("distspc.workers=2",)) as client:
        study.run(client)
    assert_same_results(study.store, finished.store)


@pytest.mark.parametrize("group", ["activations/fc2", "distances", "reconstruction", "relations"])
def test_only_what_is_missing_is_made_again(finished, tmp_path, group):
    store = tmp_path / "s.zarr"
    shutil.copytree(finished.store, store)
    study = finished.model_copy(update={"store": store, "report": tmp_path / "r.html"})
    Store(store)[group].remove()
    kept = {p: p.stat().st_mtime_ns for p in store.rglob("c/**/*") if p.is_file()}
    study.run(stages=["extract", "distances", "reconstruct", "relate"])
    assert_same_results(store, finished.store)
    assert all(p.stat().st_mtime_ns == t for p, t in kept.items() if not set(Relate.makes) & set(p.parts))


def test_a_report_that_is_another_study_s_is_made_again(finished, tmp_path):
    page, store = tmp_path / "report.html", tmp_path / "s.zarr"
    shutil.copytree(finished.store, store)
    ours = finished.model_copy(update={"store": store, "report": page})
    ours.run(stages=["report"])
    mine = page.read_text()
    # Another study's run writes its own in its place.
    page.write_text(re.sub('(<meta name="distspc-study" content=")[0-9a-f]+', r"\g<1>0123", mine))
    assert run_stages(ours, refuse, stages=["report"]).computed == {"report": 1}
    assert page.read_text().count(fingerprint(ours)) == mine.count(fingerprint(ours)) == 1
    assert run_stages(ours, refuse, stages=["report"]).computed == {}


def test_sizes_that_do_not_fit_are_refused_before_extraction(authors_layout, tmp_path):
    study = make_study(authors_layout, tmp_path / "s.zarr")
    n_images = sum(count_images(study))
    settings = study.distinctiveness.model_copy(update={"neighbours": n_images})
    with pytest.raises(
        InputError, match=f"`neighbours` is {n_images}, but the comparison set has {n_images - 1} images"
    ):
        run_stages(study.model_copy(update={"distinctiveness": settings}), refuse)
    assert not Store(study.store).layer("fc2").exists()


def test_memory_of_distance_tasks_is_given_back_at_the_end(finished, tmp_path):
    store = tmp_path / "s.zarr"
    shutil.copytree(finished.store, store)
    Store(store).distances.remove()
    reading._spare.keep(np.empty((1, 1), np.float32))
    finished.model_copy(update={"store": store}).run(stages=["distances"])
    assert reading._spare.take() is None


def test_other_settings_on_the_same_store_are_refused(finished):
    other = finished.model_copy(
        update={"distinctiveness": finished.distinctiveness.model_copy(update={"protocol": "distinct"})}
    )
    with pytest.raises(StoreMismatchError, match='protocol was "paper", now "distinct"'):
        other.run()


def test_redo_takes_the_new_settings(finished, tmp_path):
    store = tmp_path / "s.zarr"
    shutil.copytree(finished.store, store)
    settings = finished.distinctiveness.model_copy(update={"protocol": "distinct"})
    study = finished.model_copy(update={"store": store, "distinctiveness": settings, "report": tmp_path / "r.html"})
    study.run(stages=["distances"], redo=True)
    assert Store(store).distances.attributes["recipe"]["protocol"] == "distinct"
    assert not Store(store).relations.exists()


def test_a_stage_without_what_it_rests_on_says_what_to_run(authors_layout, tmp_path):
    study = make_study(authors_layout, tmp_path / "s.zarr")
    with pytest.raises(InputError, match="run `distspc extract` first"):
        study.run(stages=["distances"])


def test_added_layer_and_seed_keep_the_old_results(authors_layout, finished, tmp_path):
    store = tmp_path / "s.zarr"
    small = {"units": 60, "codewords": 20, "batches": 6, "batch-size": 16}
    make_study(authors_layout, store, layers=["fc2"], reconstruction={**small, "seeds": [0]}).run()
    study = make_study(authors_layout, store)
    study.run()
    for name in ("distance", "neighbour_index"):
        for i, layer in enumerate(Store(store).distances.labels("layer")):
            j = Store(finished.store).distances.position("layer", layer)
            ours = Store(store).distances.read(name, layer=i)
            np.testing.assert_array_equal(ours, Store(finished.store).distances.read(name, layer=j))


def test_exported_distances_are_float64_brute_force(finished, authors_layout, tmp_path):
    export_results(finished.store, tmp_path)
    for layer in LAYERS:
        folder = authors_layout / "Activations" / layer
        names = [("Targets", i + 1) for i in range(N_TARGETS)] + [("Fillers", i + 1) for i in range(N_FILLERS)]
        pool = np.stack([np.load(folder / role / f"{i}.npy")[0] for role, i in names]).astype(float)
        for t, line in enumerate((tmp_path / f"Results/Dist/{layer}_NN.csv").read_text().splitlines()):
            distance = np.sqrt(((pool[t] - pool) ** 2).sum(axis=1))
            distance[t] = np.inf
            n = int(distance.argmin())
            target, neighbour, value = line.split(", ")
            assert (target, neighbour) == (str(t + 1), f"{names[n][1]}_filler" if n >= N_TARGETS else str(n + 1))
            assert float(value) == pytest.approx(distance[n], rel=1e-9, abs=0)


def test_a_scheduler_lost_before_its_workers_are_asked_is_named():
    class Lost:
        def scheduler_info(self, n_workers):
            return {}

    with pytest.raises(WorkerError, match=r"the connection to the scheduler is lost .* run the study again"):
        available_workers(Lost())


def test_tasks_do_not_wait_for_xarray(authors_layout, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    study = make_study(authors_layout, tmp_path / "s.zarr")
    run_stages(study, lambda _: None, stages=("extract", "distances", "reconstruct"))
    assert {one.stage for one in study.status() if one.complete} == {"extract", "distances", "reconstruct"}
