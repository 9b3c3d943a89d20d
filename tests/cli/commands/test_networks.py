"""Tests of `distspc.cli.commands.networks`."""

import numpy as np
import pytest

from distspc.cli.main import main
from distspc.testing.onnx_vgg16 import write_vgg16


def listed(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["layers", *arguments])
    assert not stopped.value.code
    return [line.split() for line in capsys.readouterr().out.splitlines()]


def test_vgg16_is_listed_without_its_weights(capsys):
    rows = listed(capsys, "random")
    assert rows[0] == ["name", "kind", "shape", "features"]
    assert rows[3] == ["block1_pool", "MaxPooling2D", *["112", "x", "112", "x", "64"], "802816"]
    assert rows[-1] == ["predictions", "Dense", "1365", "1365"]


def test_the_layers_of_a_file_are_listed_and_those_of_a_study(capsys, tmp_path):
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    weights = {"conv": (np.ones((3, 3, 3, 2), "f4"), np.zeros(2, "f4"))}
    write_vgg16(tmp_path / "m.onnx", weights, layers=["conv"], input_shape=("n", 3, 6, 6), prefix="/backbone/")
    rows = listed(capsys, str(tmp_path / "m.onnx"))
    assert rows[-1] == ["/backbone/conv", "Relu", *["6", "x", "6", "x", "2"], "72"]
    (tmp_path / "s.yaml").write_text("store: s.zarr\nimages: {targets: T}\nmodel: {weights: m.onnx}\nlayers: [a]\n")
    assert listed(capsys, str(tmp_path / "s.yaml")) == rows
    models = "[{name: a, weights: m.onnx, layers: [x]}, {name: b, weights: random, layers: [fc2]}]"
    (tmp_path / "s.yaml").write_text(f"store: s.zarr\nimages: {{targets: T}}\nmodels: {models}\n")
    both = listed(capsys, str(tmp_path / "s.yaml"))
    assert both[: len(rows)] == [["model", *rows[0]], *(["a", *row] for row in rows[1:])]
    assert both[-1] == ["b", "predictions", "Dense", "1365", "1365"]


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        main(["layers", *arguments])
    assert stopped.value.code == 2
    return capsys.readouterr().err


def test_a_study_names_its_own_network(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.yaml").write_text("store: s.zarr\nactivations: A\nlayers: [fc2, mine]\n")
    assert "s.yaml takes `activations` and has no network; its layers are fc2, mine" in refused(capsys, "s.yaml")
    assert "--file 'x.pth' goes with a MODEL timm:NAME" in refused(capsys, "s.yaml", "--file", "x.pth")


def test_unknown_networks_end_with_exit_code_2(capsys, tmp_path):
    assert "there is no such file" in refused(capsys, "nowhere/net.onnx")
    (tmp_path / "net.onnx").mkdir()
    assert "net.onnx' is a folder: expected a file" in refused(capsys, str(tmp_path / "net.onnx"))
