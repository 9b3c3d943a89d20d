"""What a study can give back, and that what is done stays done."""

import shutil

import pytest

from distspc.errors import InputError, StoreBusyError
from distspc.pipeline.clean import Choice, clean, list_items, price
from distspc.pipeline.run import run_stages
from distspc.store.access import lock
from distspc.store.failures import Failure, keep_failures
from distspc.store.group import folder_nbytes
from tests.pipeline.imported_study import LAYERS, make_study, write_activations


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    root = tmp_path_factory.mktemp("finished")
    write_activations(root)
    make_study(root).run()
    return root


@pytest.fixture
def finished(reference, tmp_path):
    """A finished study in a folder of its own."""
    shutil.copytree(reference, tmp_path, dirs_exist_ok=True)
    return make_study(tmp_path)


def refuse(stage):
    raise AssertionError(f"{stage} was to compute")


def by_layer(study):
    return {item.name: item for item in list_items(study) if item.kind == "activations"}


def test_all_layers_are_listed_with_their_bytes(finished):
    items = by_layer(finished)
    assert list(items) == list(LAYERS)
    for layer, item in items.items():
        assert item.nbytes == folder_nbytes(finished.stored.layer(layer).path / "activation")
        assert item.note == f"imported from {finished.activations.folder / layer}"
        assert not item.needed
    frame = finished.clean()
    assert frame.columns.tolist() == ["kind", "name", "nbytes", "note"]
    assert set(frame["kind"]) == {"activations"}
    assert finished.stored.layer("fc2").has("activation")


def test_what_is_done_stays_done_without_its_activations(finished):
    page, nbytes = finished.report.read_bytes(), by_layer(finished)["fc2"].nbytes
    gone = finished.clean(activations=["fc2"])
    assert gone[["kind", "name", "nbytes"]].to_numpy().tolist() == [["activations", "fc2", nbytes]]
    assert finished.stored.layer("fc2").given_back
    assert not finished.stored.layer("fc1").given_back
    assert run_stages(finished, refuse).computed == {}
    assert finished.report.read_bytes() == page
    rows = {(row.stage, row.layer): row for row in finished.status()}
    assert all(row.complete for row in rows.values())
    assert "given back" in rows["extract", "fc2"].note
    assert rows["extract", "fc1"].note == rows["distances", "fc2"].note == ""
    item = by_layer(finished)["fc2"]
    assert item.nbytes == 0
    assert item.note.startswith("given back 20")
    assert Choice(["activations"], ["fc2"]).of(list_items(finished)) == []
    finished.clean(activations=True)
    assert all(finished.stored.layer(layer).given_back for layer in LAYERS)
    assert run_stages(finished, refuse).computed == {}


def test_an_unknown_layer_is_named(finished):
    with pytest.raises(InputError, match=r"no activations of 'fc3'; did you mean 'fc\d'\? layers are fc2, fc1"):
        finished.clean(activations=["fc3"])


def test_a_layer_that_the_study_does_not_name_any_more_goes_too(finished):
    fewer = finished.model_copy(update={"layers": ("fc2",)})
    items = by_layer(fewer)
    assert items["fc1"].note == "not a layer of this study"
    assert clean(fewer, Choice(["activations"], ["fc1"]))[0].name == "fc1"
    assert price(fewer, [items["fc1"]]) == ""


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("distances", r"fc2: distances still needs them; fc1: distances still needs them"),
        ("reconstruction", r"fc2: reconstruct still needs them"),
        ("activations/fc1/activation/c/0/0", r"fc1: not complete \(0 of 1 file\)"),
    ],
)
def test_what_is_still_needed_is_kept_unless_forced(finished, lost, said):
    path = finished.store / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(InputError, match=said):
        finished.clean(activations=True)
    assert not any(finished.stored.layer(layer).given_back for layer in LAYERS)
    finished.clean(activations=True, force=True)
    assert all(finished.stored.layer(layer).given_back for layer in LAYERS)


def test_a_layer_of_which_something_failed_is_kept(finished):
    keep_failures(
        finished.stored, "distances", [Failure("distances", "fc1", None, "no reason", "none")], layers=["fc1"]
    )
    with pytest.raises(InputError, match=r"kept that are still needed: fc1: distances \(failed\) still needs them"):
        finished.clean(activations=True)


def test_imported_activations_whose_files_are_gone_are_kept_unless_forced(finished):
    finished.activations.folder.rename(finished.activations.folder.with_name("moved"))
    with pytest.raises(InputError, match=r"fc2: .*Activations/fc2 is not there any more: they could not be imported"):
        finished.clean(activations=["fc2"])
    assert "is not there any more" in price(finished, [by_layer(finished)["fc2"]])
    finished.clean(activations=["fc2"], force=True)
    assert finished.stored.layer("fc2").given_back


def test_a_store_in_use_is_left_alone(finished):
    with lock(finished.store), pytest.raises(StoreBusyError, match="is in use by process"):
        finished.clean(activations=True)
    assert not finished.stored.layer("fc2").given_back


def test_work_files_logs_and_old_pages_go_by_kind(finished):
    units = finished.store.with_name("s.zarr.units") / "fc2-0123abcd"
    logs = finished.store.parent / "distspc-logs"
    for path in (units / "000000000-000000030.npy", logs / "s-extract-17.out", finished.report.with_name("mine.txt")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"12345")
    old = finished.report.parent / "figures/training_of_before.png"
    old.write_bytes(b"123")
    listed = finished.clean().set_index("kind")["nbytes"]
    assert listed.loc[["units", "logs", "reports"]].tolist() == [5, 5, 3]
    before = set(finished.report.parent.rglob("*"))
    finished.clean(units=True)
    finished.clean(logs=True, reports=True)
    gone = before - set(finished.report.parent.rglob("*"))
    assert gone == {units / "000000000-000000030.npy", units, units.parent, logs / "s-extract-17.out", logs, old}
    assert run_stages(finished, refuse).computed == {}


def test_a_page_out_of_date_is_offered(finished):
    other = finished.model_copy(update={"layers": ("fc2",)})
    assert "report.html" in other.clean().query("kind == 'reports'")["name"].tolist()
    other.clean(reports=True)
    assert not other.report.exists()
    assert not list(other.report.parent.glob("figures/*"))
    assert run_stages(other, refuse, stages=["report"]).computed == {"report": 1}


def test_without_a_store_there_is_nothing(tmp_path):
    write_activations(tmp_path)
    with pytest.raises(InputError, match="there is nothing to give back"):
        make_study(tmp_path).clean()
