"""Tests of `distspc.extraction.build`."""

import os
import shutil
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction import build as activations
from distspc.extraction import network, network_spec
from distspc.images import inventory, listing
from distspc.pipeline.run import Study
from distspc.store.activations import allocate_layers
from distspc.store.notices import stored_notices
from distspc.store.store import Store
from distspc.testing.stores import image_ids, no_compute, write_image_table
from tests.extraction.shared import N_FILLERS, N_TARGETS, SMALL_LAYERS, by_hand, expected, extract, run, scan

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def test_the_image_table(study):
    assert scan(study) == 2
    table = Store(study / "s.zarr").open()["images"].to_dataset().load()
    assert table.sizes == {"image": N_TARGETS + N_FILLERS}
    ids = [f"targets/{i + 1}" for i in range(N_TARGETS)] + [f"fillers/{i + 1}" for i in range(N_FILLERS)]
    assert table["image"].values.tolist() == ids
    row = table.isel(image=1)
    file = study / "Images" / "Targets" / "2.jpg"
    assert (row["role"].item(), row["number"].item(), row["file"].item()) == ("target", 2, "Images/Targets/2.jpg")
    assert Store(study / "s.zarr").images.read("file", image=1) == str(file)
    assert (row["width"].item(), row["height"].item()) == (64, 64)
    assert table["width"].values[0] == 48
    assert row["nbytes"].item() == file.stat().st_size
    import hashlib

    assert row["digest"].item() == "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()
    assert inventory.skipped_images(Store(study / "s.zarr")) == []


def test_bad_images_are_named_and_left_out_and_numbers_stay(study):
    targets = study / "Images" / "Targets"
    (targets / "2.jpg").write_bytes(b"")
    (targets / "70.jpg").symlink_to("nowhere")
    (targets / "71.gif").write_bytes(b"GIF89a")
    scan(study)
    assert inventory.skipped_images(Store(study / "s.zarr")) == [
        (str(targets / "2.jpg"), "is empty (0 bytes)"),
        (str(targets / "70.jpg"), "does not exist"),
        (str(targets / "71.gif"), "gif files are not read; save it as png"),
    ]
    assert Store(study / "s.zarr").images.labels("image")[:3] == ["targets/1", "targets/3", "targets/4"]
    assert Store(study / "s.zarr").images.read("number", image=slice(0, 3)).tolist() == [1, 3, 4]
    assert Store(study / "s.zarr").skipped.read("number").tolist() == [2, 70, 71]


def test_a_second_scan_reads_only_what_changed(study):
    targets = study / "Images" / "Targets"
    (targets / "2.jpg").write_bytes(b"")
    scan(study)
    assert scan(study) == 0
    os.utime(targets / "5.jpg", ns=(1, 1))
    assert scan(study) == 1
    assert Store(study / "s.zarr").images.read("modified")[3] == 1
    assert scan(study) == 0


def test_strict_stops_at_the_first_bad_image(study):
    (study / "Images" / "Targets" / "9.jpg").write_bytes(b"hello")
    with pytest.raises(InputError, match=r"9\.jpg': is not an image"):
        scan(study, strict=True)
    scan(study)
    with pytest.raises(InputError, match=r"9\.jpg': is not an image"):
        scan(study, strict=True)
    (study / "Images" / "Targets" / "9.svg").write_bytes(b"<svg/>")
    with pytest.raises(InputError, match=r"9\.svg': svg files are not read"):
        scan(study, strict=True)


def test_no_usable_target_is_an_error(tmp_path):
    (tmp_path / "Images" / "Targets").mkdir(parents=True)
    (tmp_path / "Images" / "Targets" / "1.jpg").write_bytes(b"")
    sources = listing.list_images(tmp_path / "Images" / "Targets")
    rows = run(inventory.scan_images(Store(tmp_path / "s.zarr"), sources))
    with pytest.raises(InputError, match=r"none of the 1 image can be used as a target; the first: .*1\.jpg'"):
        inventory.write_images(Store(tmp_path / "s.zarr"), sources, rows)


def _replace(folder):
    shutil.copy(folder / "8.jpg", folder / "7.jpg")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_replace, r"targets/7 \(.*7\.jpg\) has changed"),
        (lambda folder: (folder / "7.jpg").unlink(), r"targets/7 \(.*7\.jpg\) no longer exists"),
        (lambda folder: shutil.copy(folder / "7.jpg", folder / "700.jpg"), r"targets/700 \(.*700\.jpg\) is new"),
        (lambda folder: (folder / "7.jpg").write_bytes(b""), r"targets/7 \(.*7\.jpg\) is empty"),
    ],
)
def test_other_images_on_the_same_store_are_refused(study, change, said):
    scan(study)
    change(study / "Images" / "Targets")
    with pytest.raises(StoreMismatchError, match=f"made from other images: {said}"):
        scan(study)


def test_a_study_folder_may_move(study, model):
    scan(study)
    run(extract(study, model))
    (study / "Images").rename(study / "Moved")
    (study / "Images").mkdir()
    shutil.move(study / "Moved" / "Targets", study / "Images" / "Targets")
    shutil.move(study / "Moved" / "Fillers", study / "Images" / "Fillers")
    scan(study)
    assert extract(study, model) == []


def test_a_half_written_table_is_written_again(study):
    scan(study)
    shutil.rmtree(study / "s.zarr" / "images" / "modified")
    (study / "Images" / "Targets" / "66.jpg").unlink()  # nothing rests on the half table
    assert scan(study) == 2
    assert len(Store(study / "s.zarr").images.labels("image")) == N_TARGETS + N_FILLERS - 1


def test_columns_of_a_table_come_along(study):
    table = study / "t.csv"
    table.write_text(
        "path,role,category,score,width,a/b\n"
        "Images/Targets/2.jpg,target,sea,0.5,9,x\nImages/Targets/1.jpg,,land,0.25,8,y\n"
        "Images/Fillers/1.jpg,filler,land,,7,z\n"
    )
    sources = listing.read_image_table(table)
    inventory.write_images(
        Store(study / "s.zarr"), sources, run(inventory.scan_images(Store(study / "s.zarr"), sources))
    )
    found = Store(study / "s.zarr").open()["images"].to_dataset().load()
    assert found["image"].values.tolist() == ["targets/2", "targets/1", "fillers/1"]
    assert found["category"].values.tolist() == ["sea", "land", "land"]
    assert found["score"].values.tolist() == ["0.5", "0.25", ""]
    assert found["table_width"].values.tolist() == ["9", "8", "7"]
    assert found["a_b"].values.tolist() == ["x", "y", "z"]
    table.write_text(table.read_text().replace("sea", "sky"))
    sources = listing.read_image_table(table)
    with pytest.raises(StoreMismatchError, match="targets/2 has another category"):
        inventory.write_images(
            Store(study / "s.zarr"), sources, run(inventory.scan_images(Store(study / "s.zarr"), sources))
        )


def test_the_store_holds_what_the_network_gives_image_by_image(study, model):
    scan(study)
    with no_compute():
        tasks = extract(study, model)
    assert len(tasks) == 2
    assert run(tasks) == (64, 7)
    results = Store(study / "s.zarr").open()
    for layer, shape in (("edges", (10, 8, 4)), ("top", (5,))):
        found = results[f"activations/{layer}"]
        assert found["activation"].dims == ("image", "feature")
        assert found["activation"].dtype == np.float32
        np.testing.assert_array_equal(found["image"], results["images"]["image"])
        wanted = expected(study, model, layer)
        np.testing.assert_allclose(found["activation"], wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())
        assert found.attrs["shape"] == list(shape)
    assert results["activations/edges"].attrs["axes"] == ["row", "column", "channel"]


def test_flattened_activations_take_their_layers_shape_again(study, model):
    scan(study)
    run(extract(study, model))
    flat = Store(study / "s.zarr").layer("edges").read("activation", image=3)
    shape = Store(study / "s.zarr").layer("edges").attributes["shape"]
    net = network.load_network(network_spec.resolve_network(model, layers=SMALL_LAYERS))
    wanted = net.activations(by_hand(study / "Images" / "Targets" / "4.jpg")[None])["edges"][0]
    np.testing.assert_allclose(activations.unflatten(flat, shape), wanted, rtol=1e-5, atol=1e-3)


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batch_size=st.integers(1, 100), chunk=st.integers(1, 80))
def test_no_batch_and_chunk_size_changes_a_value(study, model, monkeypatch, batch_size, chunk):
    monkeypatch.setattr("distspc.store.format.chunks.IMAGES_PER_CHUNK", chunk)
    shutil.rmtree(study / "s.zarr", ignore_errors=True)
    scan(study)
    run(extract(study, model, layers=("top",), batch_size=batch_size))
    wanted = expected(study, model, "top")
    found = Store(study / "s.zarr").layer("top").read("activation")
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())


def test_only_missing_chunks_and_layers_are_made(study, model):
    scan(study)
    run(extract(study, model, layers=("top",)))
    assert len(extract(study, model)) == 2  # the other layer
    run(extract(study, model))
    assert extract(study, model) == []
    before = Store(study / "s.zarr").layer("edges").read("activation")
    chunks = sorted((study / "s.zarr" / "activations" / "edges" / "activation" / "c").rglob("0"))
    lost = next(path for path in chunks if path.parent.name == "1")
    lost.unlink()
    (task,) = extract(study, model)
    assert task.key.startswith("extract-")
    assert task.key.endswith("-0001")
    assert run([task]) == (7,)
    assert lost.exists()
    np.testing.assert_array_equal(Store(study / "s.zarr").layer("edges").read("activation"), before)


def test_a_finished_study_loads_no_network(study, model, monkeypatch):
    scan(study)
    run(extract(study, model))

    def refuse(*_):
        raise RuntimeError("loaded a network")

    monkeypatch.setattr(activations, "layer_shapes", refuse)
    assert extract(study, model) == []
    with pytest.raises(RuntimeError, match="loaded a network"):
        extract(study, model, layers=("edges", "top", "flat"))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"preprocessing": "caffe"}, 'preprocessing was "raw", now "caffe"'),
        ({"precision": "bfloat16"}, 'precision was "float32", now "bfloat16"'),
        ({"dtype": "float16"}, 'dtype was "float32", now "float16"'),
    ],
)
def test_another_recipe_is_refused_with_what_differs(study, model, options, said):
    scan(study)
    run(extract(study, model))
    with pytest.raises(StoreMismatchError, match=said):
        extract(study, model, **options)


def test_other_weights_are_refused(study, model, tmp_path):
    scan(study)
    copy = tmp_path / "copy.keras"
    shutil.copy(model, copy)
    run(extract(study, str(copy)))
    assert extract(study, model) == []  # the same weights elsewhere
    with zipfile.ZipFile(copy, "a") as archive:
        archive.writestr("note.txt", "trained longer")
    with pytest.raises(StoreMismatchError, match=r'weights was "sha256:.* now "sha256:'):
        extract(study, str(copy))


def test_other_seeds_are_refused_before_any_network_is_built(study):
    scan(study)
    layers = ["block5_pool"]
    assert len(activations.extract_activations(study / "s.zarr", layers=layers, weights="random")) == 2
    with pytest.raises(StoreMismatchError, match=r"weights was .*:0.*now .*:1"):
        activations.extract_activations(study / "s.zarr", layers=layers, weights="random", seed=1)


def test_one_run_warns_once_of_another_input_than_the_network_was_made_for(study, caplog):
    content = {
        "store": "s.zarr",
        "images": {"targets": "Images/Targets", "fillers": "Images/Fillers"},
        "model": {"weights": "mobilenetv2:random", "preprocessing": "raw"},
        "layers": ["Conv1", "bn_Conv1"],
    }
    loaded = Study.from_dict(content, base=study)
    for n_warnings in (1, 0):  # a finished study has nothing to say
        caplog.clear()
        loaded.run(stages=["extract"])
        texts = [r.getMessage() for r in caplog.records if r.name.startswith("distspc") and r.levelname == "WARNING"]
        assert sum("was made for images as its own function" in text for text in texts) == n_warnings, texts
        assert len(set(texts)) == len(texts)


def test_a_file_that_changed_after_the_scan_is_refused(study, model):
    scan(study)
    tasks = extract(study, model)
    _replace(study / "Images" / "Targets")
    with pytest.raises(InputError, match=r"7\.jpg': has changed since the study began"):
        run(tasks[:1])
    assert Store(study / "s.zarr").layer("top").done("activation").sum() == 0


def test_wrong_settings_are_refused(study, model):
    scan(study)
    with pytest.raises(InputError, match="storage type 'int8' is not one of float32, float16"):
        extract(study, model, dtype="int8")
    with pytest.raises(InputError, match="batch size 0 is not at least 1"):
        extract(study, model, batch_size=0)
    with pytest.raises(InputError, match=r"has no layer 'fc2'; it has .*edges, flat, top"):
        extract(study, model, layers=("fc2",))
    with pytest.raises(InputError, match="holds no 'images'"):
        activations.extract_activations(study / "none.zarr", layers=["fc2"], weights="random")


def test_worker_processes_give_the_same_bytes(study, model):
    from distributed import Client, LocalCluster

    scan(study)
    run(extract(study, model))
    first = study / "s.zarr"
    first.rename(study / "one.zarr")
    scan(study)
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", host="127.0.0.1") as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.compute(extract(study, model)))
    for layer in SMALL_LAYERS:
        found, wanted = (Store(study / name).layer(layer).read("activation") for name in ("s.zarr", "one.zarr"))
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_tokens_are_asked_for_and_another_pooling_is_refused(study, token_model):
    scan(study)
    with pytest.raises(
        InputError, match=r"tokens has 65 tokens of 5 features .* cls, mean or max, 1\.4 KiB for 71 images"
    ):
        extract(study, token_model, layers=("edges", "tokens"))
    store = Store(study / "s.zarr")
    assert store.layers() == []
    pooling = {"tokens": "mean", "patches": "flatten"}
    layers = ("edges", "patches", "tokens")
    run(extract(study, token_model, layers=layers, pooling=pooling))
    attributes = {layer: store.layer(layer).attributes for layer in layers}
    assert [attributes[layer]["shape"] for layer in layers] == [[8, 8, 4], [64, 4], [5]]
    assert [attributes[layer]["recipe"].get("pooling") for layer in layers] == [None, "flatten", "mean"]
    assert attributes["tokens"]["prefix_tokens"] == 1
    assert extract(study, token_model, layers=layers, pooling=pooling) == []
    for other, now in (({"tokens": "cls"}, "cls"), ({"tokens": "none"}, "none")):
        with pytest.raises(StoreMismatchError, match=f'pooling was "mean", now "{now}".*--redo'):
            extract(study, token_model, layers=("tokens",), pooling=other)
    with pytest.raises(StoreMismatchError, match="prefix_tokens was null, now 5"):
        extract(study, token_model, layers=("tokens",), pooling="mean", prefix_tokens=5)
    with pytest.raises(StoreMismatchError, match='pooling was "none", now "max"'):
        extract(study, token_model, layers=("edges",), pooling="max")


def test_a_doubt_says_of_which_of_several_networks_it_is(tmp_path):
    store = Store(tmp_path / "s.zarr")
    write_image_table(store.path, image_ids(2, 1), 2)
    spec = network_spec.NetworkSpec("onnx", "net.onnx", "sha256:0", ("/a",))
    for model in ("", "clip"):
        of_model = store.of_model(model)
        allocate_layers(of_model, {"/a": (3,)}, {}, "float32")
        activations._keep_doubts(of_model, spec)
    alone, several = (stored_notices([store.layer(label)])[0].text for label in ("/a", "/a@clip"))
    assert alone.startswith("an ONNX file does not say")
    assert several == f"model clip: {alone}"
