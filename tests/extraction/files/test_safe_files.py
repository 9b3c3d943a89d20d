"""Tests of: model files that others made, which are read as data, never run."""

import json
import pickle
import zipfile

import h5py
import numpy as np
import pytest

from distspc.errors import InputError
from distspc.extraction.backends.keras_runtime import import_keras
from distspc.extraction.files import safe_files
from distspc.extraction.network import load_network
from distspc.extraction.network_spec import resolve_network

# Keras with TensorFlow, reading its own variables
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")


def model_of(*layers):
    return {"module": "keras", "class_name": "Functional", "config": {"layers": list(layers)}, "registered_name": None}


def write_archive(path, config, **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_hdf5(path, config):
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
    return path


def layer(kind, module="keras.layers", **config):
    return {"class_name": kind, "module": module, "config": {"name": "it", **config}, "registered_name": None}


FOREIGN = {
    "a SavedModel": layer("TFSMLayer", filepath="/tmp/evil"),
    "a Flax module": layer("FlaxLayer", module={"class_name": "__lambda__"}),
    "a JAX function": layer("JaxLayer"),
    "a torch module": layer("TorchModuleWrapper"),
    "a lambda": layer("Lambda"),
    "a file of words": layer("StringLookup", vocabulary="/etc/passwd"),
    "a file of text": layer("TextVectorization", vocabulary="/etc/passwd"),
    "a download": {"class_name": "function", "module": "keras.utils", "config": "get_file", "registered_name": "x"},
    "a download as a class": layer("get_file", "keras.utils", origin="http://127.0.0.1:9/x", fname="x"),
    "a class of Keras's insides": layer("Dense", "keras.src.utils.file_utils"),
    "a function of the layers' module": layer("deserialize"),
    "a class of os": layer("system", "os"),
    "a class of one's own": {**layer("Dense"), "registered_name": "mine>Dense"},
    "a type of TensorFlow": {"class_name": "TypeSpec", "type_spec": "tf.TensorSpec", "serialized": []},
    "another type of TensorFlow": {**layer("__typespec__", "tensorflow.data"), "spec_name": "x"},
    "no name of a class": {"class_name": ["Dense"], "module": "keras.layers", "config": {}},
    "no name of a module": {"class_name": "Dense", "module": ["keras.layers"], "config": {}},
    "the layer of a wrapper": layer("TimeDistributed", layer=layer("TFSMLayer")),
    "an initial value": layer("Dense", kernel_initializer=layer("TFSMLayer", "keras.initializers")),
}


@pytest.mark.parametrize("case", FOREIGN)
def test_what_is_not_of_keras_or_reads_files_is_refused(tmp_path, case):
    with pytest.raises(InputError, match=r"holds code .*, which is never run|saved by an older Keras package"):
        safe_files.refuse_code(write_archive(tmp_path / "m.keras", model_of(layer("Flatten"), FOREIGN[case])))


@pytest.mark.parametrize(
    "kind", ["TFSMLayer", "FlaxLayer", "Lambda", "StringLookup", "get_file", "mine>Dense", "Wrapper"]
)
def test_what_keras_2_names_by_class_alone_is_refused_too(tmp_path, kind):
    path = write_hdf5(tmp_path / "m.h5", {"class_name": "Sequential", "config": [{"class_name": kind, "config": {}}]})
    with pytest.raises(InputError, match=rf"holds code \('{kind}' of its own\), which is never run"):
        safe_files.refuse_code(path)


NAMES = ("..", ".", "../up", "a/../b", "/etc/passwd", "a\\b", "..\\up", "a\0b", "")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("write", [write_archive, write_hdf5])
def test_names_of_layers_that_lead_elsewhere_are_refused(tmp_path, name, write):
    path = tmp_path / ("m.keras" if write is write_archive else "m.h5")
    with pytest.raises(InputError, match=r"has a layer called .*no plain name: rename the layer"):
        safe_files.refuse_code(write(path, model_of(layer("Flatten", name=name))))


def test_a_slash_in_a_name_is_for_keras_2_alone(tmp_path):
    config = model_of(layer("Flatten", name="block/flat"))
    safe_files.refuse_code(write_hdf5(tmp_path / "m.h5", config))
    with pytest.raises(InputError, match="has a layer called 'block/flat'"):
        safe_files.refuse_code(write_archive(tmp_path / "m.keras", config))


@pytest.mark.parametrize(
    ("member", "said"),
    [
        ("../up.txt", "whose name leads elsewhere"),
        ("/etc/cron.d/x", "whose name leads elsewhere"),
        ("C:x", "whose name leads elsewhere"),
        ("assets\\..\\x", "whose name leads elsewhere"),
        ("assets/words.txt", "for a layer to read"),
    ],
)
def test_files_in_an_archive_that_lead_elsewhere_or_are_read_by_layers_are_refused(tmp_path, member, said):
    path = write_archive(tmp_path / "m.keras", model_of(layer("Flatten")), **{member: "x"})
    with pytest.raises(InputError, match=said):
        safe_files.refuse_code(path)


def test_a_file_that_is_both_hdf5_and_an_archive_is_looked_at_as_keras_reads_it(tmp_path):
    hdf5 = write_hdf5(tmp_path / "m.h5", model_of(layer("TFSMLayer")))
    harmless = write_archive(tmp_path / "m.zip", model_of(layer("Flatten")))
    hdf5.write_bytes(hdf5.read_bytes() + harmless.read_bytes())
    assert zipfile.is_zipfile(hdf5)
    assert not safe_files.is_archive(hdf5)
    with pytest.raises(InputError, match="'TFSMLayer'"):
        safe_files.refuse_code(hdf5)


def test_an_archive_under_another_name_is_told_its_own(tmp_path):
    with pytest.raises(InputError, match=r"a zip archive: name it \.keras"):
        safe_files.model_config(write_archive(tmp_path / "m.h5", model_of()))


def elsewhere(path):
    """Give an HDF5 file whose array is stored in another file of this machine."""
    with h5py.File(path, "r+") as file:
        found = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        shape, name = file[found[0]].shape, found[0]
        del file[name]
        file.create_dataset(name, shape=shape, dtype="f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


@pytest.mark.filterwarnings("ignore:Skipping nested container", "ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_weights_of_a_whole_model_that_lie_in_another_file_are_refused(tmp_path, model, suffix):
    keras = import_keras(2)
    path = tmp_path / f"m{suffix}"
    keras.models.load_model(model).save(path)
    if suffix == ".h5":
        elsewhere(path)
    else:
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        (tmp_path / "w.h5").write_bytes(members["model.weights.h5"])
        elsewhere(tmp_path / "w.h5")
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "model.weights.h5": (tmp_path / "w.h5").read_bytes()}.items():
                archive.writestr(name, content)
    with pytest.raises(InputError, match=r"cannot be loaded .*(external|could not be loaded)"):
        load_network(resolve_network(str(path), layers=["top"]))


def own_loss(true, found):
    return found


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_models_of_keras_own_layers_and_operations_pass(tmp_path, suffix):
    keras = import_keras(2)
    x = inputs = keras.Input((8, 8, 3))
    if suffix == ".keras":  # in .h5 Keras does not find its operations again
        x = keras.ops.mean(keras.ops.relu(x * 2 + 1), axis=-1, keepdims=True)[:, 1:]
    x = keras.layers.Conv2D(2, 3, activation="gelu", kernel_regularizer="l2", kernel_constraint="max_norm")(x)
    x = keras.layers.Dense(4, kernel_initializer=keras.initializers.Constant(0.1))(keras.layers.Flatten()(x))
    outer = keras.Sequential(
        [inputs, keras.layers.RandomFlip(), keras.layers.Rescaling(1 / 255), keras.Model(inputs, x)]
    )
    outer.compile("adam", loss=own_loss)
    outer.save(tmp_path / f"m{suffix}")
    safe_files.refuse_code(tmp_path / f"m{suffix}")
    keras.saving.load_model(tmp_path / f"m{suffix}", compile=False)


@pytest.mark.parametrize("name", ["ConvNeXtTiny", "MobileNetV3Small", "NASNetMobile"])
def test_networks_of_keras_applications_pass(tmp_path, name):
    keras = import_keras(2)
    network = getattr(keras.applications, name)(weights=None)
    config = keras.saving.serialize_keras_object(network)
    safe_files.refuse_code(write_archive(tmp_path / "m.keras", config))


def test_the_list_of_layers_has_layers_alone():
    keras = import_keras(2)
    there = [getattr(keras.layers, name) for name in safe_files.LAYERS if hasattr(keras.layers, name)]
    assert len(there) > 100
    assert all(issubclass(kind, keras.layers.Layer) for kind in there)
    assert not safe_files.LAYERS & {
        "Lambda",
        "Layer",
        "Wrapper",
        "Pipeline",
        "StringLookup",
        "IntegerLookup",
        "Hashing",
    }


# ---------------------------------------------------------------- torch

TENSORS = b"\x80\x02ccollections\nOrderedDict\n0ctorch._utils\n_rebuild_tensor_v2\n0ctorch\nFloatStorage\n."


class Harm:
    def __reduce__(self):
        return print, ("harmed",)


def write_torch(path, pickled, **members):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled)
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def write_safetensors(path, header, body=b"\0" * 8):
    path.write_bytes(len(header).to_bytes(8, "little") + header + body)
    return path


def test_tensors_alone_pass(tmp_path):
    safe_files.refuse_torch_code(write_torch(tmp_path / "w.pt", TENSORS))
    header = json.dumps({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    safe_files.refuse_torch_code(write_safetensors(tmp_path / "w.safetensors", header))


@pytest.mark.parametrize("protocol", [2, 4])
def test_a_pickle_that_calls_something_is_refused_and_calls_nothing(tmp_path, capsys, protocol):
    with pytest.raises(InputError, match=r"hold code \((__builtin__ print|STACK_GLOBAL)\), which is never run"):
        safe_files.refuse_torch_code(write_torch(tmp_path / "w.pt", pickle.dumps(Harm(), protocol)))
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (lambda p: write_torch(p / "w.pt", TENSORS, **{"archive/constants.pkl": b"."}), "hold code .TorchScript"),
        (lambda p: write_torch(p / "w.pt", b"\x80\x02c"), "are damaged"),
        (lambda p: write_safetensors(p / "w.safetensors", b"{"), "not a whole safetensors file"),
        (lambda p: write_safetensors(p / "w.safetensors", b"{]"), "not a whole safetensors file"),
        (lambda p: p / "none.safetensors", "not a whole safetensors file"),
    ],
)
def test_other_torch_files_are_refused(tmp_path, write, said):
    with pytest.raises(InputError, match=said):
        safe_files.refuse_torch_code(write(tmp_path))


def test_a_pickle_without_an_archive_is_refused(tmp_path):
    (tmp_path / "w.pth").write_bytes(pickle.dumps(np.zeros(2)))
    with pytest.raises(InputError, match=r"no archive of torch\.save"):
        safe_files.refuse_torch_code(tmp_path / "w.pth")
