"""Two networks in one study, by the command line: side by side, and a second one added to the first."""

import csv
import hashlib
import importlib.util

import numpy as np
import pytest
import skimage.data
from PIL import Image

from distspc.cli.main import main
from distspc.pipeline.run import Study
from distspc.results.tree import open_results
from distspc.testing.onnx_vgg16 import write_vgg16

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")

N_TARGETS, N_FILLERS, SIDES = 14, 8, (12, 10)

COMMON = """store: s.zarr
images: {targets: Targets, fillers: Fillers}
scores: {file: scores.csv, columns: [hit]}
reconstruction: {units: 30, codewords: 10, batches: 4, batch-size: 8}
relate: {bootstrap: 20}
"""
SMALL = "- {name: small, weights: net.keras, layers: [edges, top]}\n"
OTHER = """- name: other-1.0
  weights: net.onnx
  preprocessing: {scale: 1/255, size: [12, 10]}
  storage: float16
  layers: [/conv, {name: /pool, pooling: mean}, /fc]
"""


def write_networks(folder):
    """A file of Keras and a file of ONNX, with random numbers."""
    from distspc.extraction.backends import keras_runtime

    keras = keras_runtime.import_keras(2)
    inputs = keras.Input((*SIDES, 3))
    edges = keras.layers.Conv2D(4, 3, activation="relu", name="edges")(inputs)
    outputs = keras.layers.Dense(50, activation="relu", name="top")(keras.layers.Flatten()(edges))
    keras.Model(inputs, outputs).save(folder / "net.keras")
    rng = np.random.default_rng(0)
    shapes = {"conv": (3, 3, 3, 32), "fc": (960, 40)}
    weights = {name: (rng.normal(size=shape).astype("f4"), np.zeros(shape[-1], "f4")) for name, shape in shapes.items()}
    layers = ["conv", "pool", "flatten", "fc"]
    write_vgg16(folder / "net.onnx", weights, layers=layers, input_shape=("n", 3, *SIDES))


def write_images(folder):
    source = skimage.data.coffee()
    for role, n, start in (("Targets", N_TARGETS, 0), ("Fillers", N_FILLERS, 40)):
        (folder / role).mkdir()
        for i in range(1, n + 1):
            at = start + i
            Image.fromarray(source[5 * at : 5 * at + 64, 7 * at : 7 * at + 48]).save(folder / role / f"{i}.png")
    hits = np.random.default_rng(3).uniform(0.3, 0.9, N_TARGETS)
    rows = "".join(f"{i},{hit:.3f}\n" for i, hit in enumerate(hits, start=1))
    (folder / "scores.csv").write_text(f"im_ind,hit\n{rows}")


def run(*arguments):
    """Run the command line in this process; returns the exit code."""
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def digests(store):
    """Digest of every file of a store that holds numbers."""
    files = (file for file in store.rglob("*") if file.is_file() and "c" in file.relative_to(store).parts)
    return {file.relative_to(store).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study to whose one network a second was added, before the first in the file; and digests from before."""
    for module in ("tensorflow", "onnx", "onnxruntime"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    folder = tmp_path_factory.mktemp("several")
    write_networks(folder)
    write_images(folder)
    (folder / "study.yaml").write_text(f"{COMMON}models:\n{SMALL}")
    assert run("run", folder / "study.yaml") == 0
    before = digests(folder / "s.zarr")
    (folder / "study.yaml").write_text(f"{COMMON}models:\n{OTHER}{SMALL}")
    assert run("run", folder / "study.yaml") == 0
    return folder, before


def test_a_second_network_computes_only_itself(folder):
    folder, before = folder
    after = digests(folder / "s.zarr")
    changed = {name.split("/")[0] for name, digest in before.items() if after.get(name) != digest}
    assert changed == {"relations", "models", "comparisons"}  # of all layers together
    new = {name for name in after if name.split("/")[0] not in changed} - set(before)
    groups = {"/".join(name.split("/")[:2]) for name in new if name.startswith("activations/")}
    assert groups == {f"activations/%2F{layer}@other-1.0" for layer in ("conv", "pool", "fc")}


def test_networks_side_by_side_have_what_they_have_alone(folder, tmp_path):
    folder, _ = folder
    several = Study.from_file(folder / "study.yaml").stored
    for name in ("net.onnx", "net.keras", "scores.csv", "Targets", "Fillers"):
        (tmp_path / name).symlink_to(folder / name)
    model = "model: {weights: net.onnx, preprocessing: {scale: 1/255, size: [12, 10]}, storage: float16}"
    (tmp_path / "alone.yaml").write_text(f"{COMMON}{model}\nlayers: [/conv, {{name: /pool, pooling: mean}}, /fc]\n")
    assert run("run", tmp_path / "alone.yaml") == 0
    alone = Study.from_file(tmp_path / "alone.yaml").stored
    for layer in ("/conv", "/pool", "/fc"):
        ours, theirs = several.layer(f"{layer}@other-1.0"), alone.layer(layer)
        assert ours.attributes["recipe"] == theirs.attributes["recipe"]
        assert (ours.attributes["model"], ours.attributes["layer"]) == ("other-1.0", layer)
        assert "model" not in theirs.attributes
        np.testing.assert_array_equal(ours.read("activation"), theirs.read("activation"))
        for group, variable in (("distances", "distance"), ("reconstruction", "error")):
            own = several[group].load(variable, layer=f"{layer}@other-1.0")[variable]
            np.testing.assert_array_equal(own, alone[group].load(variable, layer=layer)[variable])


def test_results_have_the_model_beside_the_layer(folder):
    folder, _ = folder
    results = open_results(folder / "s.zarr")
    models = results["distances"]["model"]
    assert dict(zip(models["layer"].values.tolist(), models.values.tolist(), strict=True)) == {
        "edges@small": "small", "top@small": "small",
        "/conv@other-1.0": "other-1.0", "/pool@other-1.0": "other-1.0", "/fc@other-1.0": "other-1.0",
    }  # fmt: skip
    assert set(results["relations"]["model"].values.tolist()) == {"small", "other-1.0"}
    table = results.to_dataframe()
    assert table.groupby(["model", "layer"]).size().to_dict() == {
        (model, layer): N_TARGETS
        for model, layers in (("small", ["edges", "top"]), ("other-1.0", ["/conv", "/pool", "/fc"]))
        for layer in layers
    }
    assert run("export", folder / "study.yaml", folder / "out") == 0
    with (folder / "out/results.csv").open(newline="") as file:
        assert next(csv.reader(file))[:4] == ["image", "file", "model", "layer"]
    with (folder / "tables/relations.csv").open(newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"small", "other-1.0"}


def test_nothing_is_left_to_do_and_status_says_so(folder, capsys):
    folder, _ = folder
    capsys.readouterr()
    assert run("run", folder / "study.yaml") == 0
    assert "Nothing to do" in capsys.readouterr().out
    assert run("status", folder / "study.yaml") == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows[0] == ["stage", "model", "layer", "state"]
    assert ["extract", "other-1.0", "/conv", "done"] in rows
    assert ["relate", "done"] in rows


def test_check_and_plan_look_at_every_network(folder, capsys):
    folder, _ = folder
    capsys.readouterr()
    assert run("check", folder / "study.yaml") == 0
    out = capsys.readouterr().out
    assert "network small" in out
    assert "network other-1.0" in out
    assert run("plan", folder / "study.yaml", "--gflops", "10") == 0
    rows = [line.split()[:4] for line in capsys.readouterr().out.splitlines()]
    assert ["distances", "other-1.0", "/fc", "1"] in rows
    assert ["distances", "small", "top", "1"] in rows


def test_other_settings_of_one_network_are_refused_by_its_name(folder, capsys):
    folder, _ = folder
    text = (folder / "study.yaml").read_text()
    (folder / "changed.yaml").write_text(text.replace("[edges, top]", "[edges, top], storage: float16"))
    capsys.readouterr()
    assert run("run", folder / "changed.yaml") == 2
    assert "activations/edges@small" in capsys.readouterr().err
    (folder / "changed.yaml").write_text(text.replace("[edges, top]", "[edges, tip]"))
    assert run("run", folder / "changed.yaml") == 2
    assert "model small: the network has no layer 'tip'; did you mean 'top'?" in capsys.readouterr().err
