"""Weight files that cannot be used are refused before anything is computed; code inside them never runs."""

import json
import zipfile

import h5py
import numpy as np
import PIL.Image
import pytest

STUDY = """\
store: made/study.zarr
images: {targets: Images}
model: {weights: WEIGHTS}
layers: [LAYER]
"""
FIRST = ((3, 3, 3, 64), (64,))
SECOND = ((3, 3, 64, 64), (64,))


@pytest.fixture
def study(tmp_path):
    """Give a function that writes a study with one image and these weights."""
    (tmp_path / "Images").mkdir()
    PIL.Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / "Images/1.png")

    def write(weights, layer="block1_pool"):
        (tmp_path / "study.yaml").write_text(STUDY.replace("WEIGHTS", weights).replace("LAYER", layer))
        return tmp_path

    return write


def legacy(change=None, **arrays):
    """Write the first block of VGG-16 as Keras 2 does, but for some arrays."""

    def write(path):
        content = {"block1_conv1": FIRST, "block1_conv2": SECOND}
        with h5py.File(path, "w") as file:
            file.attrs["layer_names"] = np.array([name.encode() for name in content])
            for name, shapes in content.items():
                group = file.create_group(name)
                group.attrs["weight_names"] = np.array([f"{name}/{end}".encode() for end in ("kernel:0", "bias:0")])
                for end, shape in zip(("kernel:0", "bias:0"), shapes, strict=True):
                    values = arrays.get(f"{name}_{end[:-2]}", np.ones(shape, "f4"))
                    group.create_dataset(f"{name}/{end}", data=values)
            if change is not None:
                change(file)

    return write


def forget(layer):
    def change(file):
        file.attrs["layer_names"] = np.array([name for name in file.attrs["layer_names"] if name != layer.encode()])

    return change


def elsewhere(file):
    """Make a weight point at another file of this machine."""
    del file["block1_conv1/block1_conv1/bias:0"]
    file["block1_conv1"].create_dataset(
        "block1_conv1/bias:0", shape=(64,), dtype="f4", external=[("/etc/passwd", 0, 256)]
    )


def linked(file):
    del file["block1_conv1/block1_conv1/bias:0"]
    file["block1_conv1/block1_conv1/bias:0"] = h5py.ExternalLink("/etc/passwd", "/bias")


def linked_whole(file):
    """Make a weight point at another weight file, whole and of the right shape."""
    other = file.filename.replace("w.h5", "other.h5")
    legacy()(other)
    del file["block1_conv1/block1_conv1/bias:0"]
    file["block1_conv1/block1_conv1/bias:0"] = h5py.ExternalLink(other, "block1_conv1/block1_conv1/bias:0")


def cut(share):
    def write(path):
        legacy()(path)
        path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])

    return write


def text(content):
    return lambda path: path.write_text(content)


def nothing(path):
    pass


WEIGHTS = {
    "not there": (nothing, r"weights '.*w\.h5': there is no such file"),
    "nothing in it": (text(""), r"weights '.*w\.h5' are not a whole HDF5 or \.keras file"),
    "a web page": (text("<!DOCTYPE html><title>404</title>"), r"'.*w\.h5' are not a whole HDF5 or \.keras file"),
    "a folder": (lambda path: path.mkdir(), r"weights '.*w\.h5' is a folder"),
    "a device": (lambda path: path.symlink_to("/dev/zero"), r"weights '.*w\.h5': there is no such file"),
    "truncated at a tenth": (cut(0.1), r"'.*w\.h5' are not a whole HDF5 or \.keras file"),
    "truncated at the end": (cut(0.95), r"'.*w\.h5' are not a whole HDF5 or \.keras file"),
    "no names of layers": (lambda path: h5py.File(path, "w").close(), "do not name their layers .*expected a Keras-2"),
    "a layer is missing": (legacy(forget("block1_conv2")), "lack block1_conv2; they have block1_conv1"),
    "a layer without its group": (legacy(lambda f: f.__delitem__("block1_conv2")), "'block1_conv2' cannot be read"),
    "wrong shape": (
        legacy(block1_conv2_kernel=np.ones((3, 3, 64, 32), "f4")),
        r"layer 'block1_conv2' has shapes \[\(3, 3, 64, 32\), \(64,\)\], expected \[\(3, 3, 64, 64\), \(64,\)\]",
    ),
    "axes the other way round": (
        legacy(block1_conv1_kernel=np.ones((64, 3, 3, 3), "f4")),
        r"layer 'block1_conv1' has shapes \[\(64, 3, 3, 3\)",
    ),
    "whole numbers": (
        legacy(block1_conv1_bias=np.ones(64, "i4")),
        "'block1_conv1' does not hold floating-point numbers",
    ),
    "text": (legacy(block1_conv1_bias=np.array([b"x"] * 64)), "'block1_conv1' does not hold floating-point numbers"),
    "NaN": (legacy(block1_conv1_bias=np.full(64, np.nan, "f4")), "'block1_conv1' holds NaN or infinity"),
    "numbers of another file": (legacy(elsewhere), "'block1_conv1' does not hold floating-point numbers of its own"),
    "a link to another file": (legacy(linked), "layer 'block1_conv1' cannot be read"),
    "a link to another weight file": (legacy(linked_whole), "does not hold floating-point numbers of its own"),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_bad_weights_are_refused(study, refused, case):
    write, sentence = WEIGHTS[case]
    folder = study("w.h5")
    write(folder / "w.h5")
    said = refused(["extract", "study.yaml"], f"error: .*{sentence}")
    assert "root:" not in said.err
    assert not list((folder / "made").rglob("activation/c"))


def archive(config, **more):
    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("config.json", config if isinstance(config, str) else json.dumps(config))
            for name, content in more.items():
                file.writestr(name.replace("_", "."), content)

    return write


def model_of(*layers):
    return {"module": "keras", "class_name": "Functional", "config": {"layers": list(layers)}, "registered_name": None}


def with_lambda(suffix):
    """A model that Keras itself saved; its lambda makes a file when it runs."""

    def write(path):
        import warnings

        from distspc.extraction.backends import keras_runtime as backend

        keras = backend.import_keras(2)
        harm = keras.layers.Lambda(
            lambda x: (__import__("pathlib").Path("harmed").touch(), x)[1], output_shape=(8, 8, 3)
        )
        inputs = keras.Input((8, 8, 3))
        model = keras.Model(inputs, keras.layers.Flatten(name="flat")(harm(inputs)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model.save(path.with_suffix(suffix))
        path.with_suffix(suffix).replace(path)
        path.parent.joinpath("harmed").unlink(missing_ok=True)

    return write


def truncated_archive(path):
    archive(model_of(), model_weights_h5=b"\0" * 5000)(path)
    path.write_bytes(path.read_bytes()[:-60])


MODELS = {
    "a lambda layer in .keras": (
        with_lambda(".keras"),
        "holds code .*which is never run. Save it with Keras's own layers",
    ),
    "a lambda layer in .h5": (with_lambda(".h5"), "holds code .*which is never run"),
    "a class of os": (archive(model_of({"class_name": "system", "module": "os"})), "holds code .*'system' of os"),
    "a class of one's own": (archive(model_of({"class_name": "Mine", "module": "mine.layers"})), "holds code .*mine"),
    "an older package": (
        archive(model_of({"class_name": "Conv2D", "module": "tf_keras.layers"})),
        "saved by an older Keras package .*save it as .h5",
    ),
    "a hidden lambda": (archive(model_of({"config": {"deep": [{"class_name": "__lambda__"}]}})), "holds code"),
    "no description": (archive(""), "is damaged"),
    "half a description": (archive('{"module": "keras"'), "is damaged"),
    "brackets": (archive("[" * 200_000), "is damaged"),
    "a description that swells": (archive(" " * 70_000_000), "description has 67108865 bytes"),
    "no layers": (archive(model_of(), model_weights_h5=b""), "cannot be loaded|is damaged"),
    "a truncated archive": (truncated_archive, r"not a whole HDF5 or \.keras file"),
    "an archive of other things": (
        lambda path: zipfile.ZipFile(path, "w").writestr("thesis.txt", "mine"),
        "is damaged .*config.json|not a whole HDF5",
    ),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("case", MODELS)
def test_bad_models_are_refused_and_run_no_code(study, refused, case):
    write, sentence = MODELS[case]
    folder = study("w.keras", "flat")
    write(folder / "w.keras")
    refused(["extract", "study.yaml"], f"(?s)error: model .*{sentence}|error: weights .*{sentence}")
    assert not (folder / "harmed").exists()


NAMES = {
    "an unknown name": ("vgg99", "weights 'vgg99': expected hybrid1365, imagenet, random"),
    "a name that is none": ("'../etc'", "weights '.*etc': there is no such file"),
    "an unknown kind": ("resnet50:best", "'best' is not one of imagenet, random"),
    "another digest": (
        "w.h5\n  digest: '" + "0" * 64 + "'",
        r"w\.h5' have digest sha256:.*, expected 0000.*correct the digest",
    ),
    "a layer of another network": ("w.h5", r"the network has no layer 'conv5_block3_out'; .*it has block1_conv1"),
}


@pytest.mark.parametrize("case", NAMES)
def test_bad_names_of_weights_are_refused(study, refused, case):
    weights, sentence = NAMES[case]
    folder = study("NAME", "conv5_block3_out" if "layer" in case or "unknown" in case else "block1_pool")
    content = (folder / "study.yaml").read_text()
    (folder / "study.yaml").write_text(content.replace("{weights: NAME}", f"\n  weights: {weights}"))
    legacy()(folder / "w.h5")
    refused(["extract", "study.yaml"], f"error: .*{sentence}")


def test_downloaded_weights_that_are_damaged_are_named(study, refused, monkeypatch):
    from distspc.extraction.files.weights import DOWNLOADS

    folder = study("hybrid1365")
    file = folder / "cache" / DOWNLOADS["hybrid1365"][0].rsplit("/", 1)[1]
    file.parent.mkdir()
    file.write_bytes(b"\x89HDF\r\n\x1a\n" + b"\0" * 100)
    file.with_name(file.name + ".sha256").write_text("sha256:" + "0" * 64 + "\n")
    monkeypatch.setenv("DISTSPC_CACHE", str(folder / "cache"))
    refused(
        ["extract", "study.yaml"], r"weights '.*hybrid1365.*\.h5' have digest .*: remove the file to fetch it again"
    )


def test_without_a_network_the_way_out_is_told(study, refused, monkeypatch):
    import pooch

    def unreachable(*_, **__):
        raise OSError("Name or service not known")

    folder = study("hybrid1365")
    monkeypatch.setenv("DISTSPC_CACHE", str(folder / "made/cache"))
    monkeypatch.setattr(pooch, "retrieve", unreachable)
    refused(["extract", "study.yaml"], "cannot fetch the weights .*Download https://.* yourself and put it at '.*cache")
