import pytest

from distspc.distances.options import DistanceOptions
from distspc.errors import InputError
from distspc.extraction.options import ExtractionOptions
from distspc.layers import LAYERS
from distspc.memorability.options import PredictionSource, ReadoutOptions, RelateOptions
from distspc.reconstruction.options import ReconstructionOptions
from distspc.study.file import StudyFile

FULL = """
store: study.zarr
images:
  targets: Images/Targets
  fillers: Images/Fillers
scores:
  file: scores.csv
  image: im_ind
  columns: [corrected_hit, hit, fa]
model:
  weights: hybrid1365
  preprocessing: raw
layers: [block5_pool, fc2]
distinctiveness:
  protocol: paper
reconstruction:
  units: 1000
  codewords: 500
  batches: 1000
  batch-size: 250
  sparsity: 0.001
  seeds: [0]
  train-on: all
relate:
  bootstrap: 1000
"""
SHORT = "store: s.zarr\nactivations: A\n"


def read(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return StudyFile.from_file(path)


def test_documented_keys_are_read_and_paths_stand_beside_the_file(tmp_path):
    study = read(tmp_path, FULL)
    assert study.store == tmp_path / "study.zarr"
    assert study.images.targets == tmp_path / "Images/Targets"
    assert study.reconstruction.batch_size == 250
    assert study.layers == ("block5_pool", "fc2")


def test_defaults_are_the_papers(tmp_path):
    study = read(tmp_path, SHORT)
    assert study.layers == tuple(LAYERS)
    settings = study.reconstruction
    assert (settings.units, settings.codewords, settings.batches, settings.batch_size) == (1000, 500, 1000, 250)
    assert (settings.sparsity, settings.seeds, settings.train_on) == (0.001, (0,), "all")
    assert study.distinctiveness.protocol == "paper"


def test_a_study_cannot_be_changed(tmp_path):
    study = read(tmp_path, SHORT)
    with pytest.raises(ValueError, match="frozen"):
        study.store = "other"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("images: {targets: T}\n", "store: this key is missing"),
        ("store: s.zarr\n", "give either `images` or `activations`"),
        (SHORT + "images: {targets: T}\n", "give either `images` or `activations`"),
        (SHORT + "layer: [fc2]\n", "layer: unknown key; did you mean 'layers'"),
        (SHORT + "reconstruction: {batchsize: 3}\n", "did you mean 'batch-size'"),
        (SHORT + "reconstruction: {units: 0}\n", "reconstruction.units: invalid value 0.*greater than or equal to 1"),
        (SHORT + "reconstruction: {units: many}\n", "reconstruction.units: invalid value 'many'.*valid integer"),
        (SHORT + "reconstruction: {units: true}\n", "reconstruction.units: invalid value True"),
        (SHORT + "reconstruction: {sparsity: .inf}\n", "reconstruction.sparsity: invalid value inf.*finite"),
        (SHORT + "reconstruction: {seeds: []}\n", "reconstruction.seeds: .*at least 1"),
        (SHORT + "reconstruction: {seeds: [-1]}\n", r"reconstruction.seeds.0: invalid value -1"),
        (
            SHORT + "distinctiveness: {protocol: papers}\n",
            "invalid value 'papers'.*'paper', 'spc-public' or 'distinct'",
        ),
        (SHORT + "distinctiveness: 3\n", "distinctiveness: invalid value 3"),
        (SHORT + "layers: [fc2, fc2]\n", "names a layer twice"),
        (
            "store: s\nimages: {targets: T}\nlayers: [fc3]\n",
            "'fc3', which VGG-16 does not; did you mean 'fc2'. the seven are block1_pool",
        ),
        ("store: s\nimages: {fillers: F}\n", "images: give either `targets`"),
        ("store: s\nimages: {table: t.csv, fillers: F}\n", "`fillers` goes with `targets`"),
        (SHORT + "profiles: {extrakt: slurm-gpu}\n", "profiles.extrakt"),
        ("store: &a s\nactivations: *a\n", "line 2: aliases"),
        (SHORT + "store: t\n", "line 3: duplicate key 'store'"),
        ("store: !!python/object/apply:os.system ['true']\n", "cannot be read as YAML"),
        ("- store\n", "must be a mapping of keys to values, not list"),
        ("", "must be a mapping of keys to values, not NoneType"),
        ("{", "cannot be read as YAML"),
        ("store: \x07", "cannot be read as YAML"),
        ("[" * 5000, "cannot be read as YAML"),
        ("#" * 1_000_001, "a study file is a page of YAML"),
    ],
)
def test_what_cannot_be_is_refused_in_words(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, text)


def test_profile_files_stand_beside_the_study(tmp_path):
    study = read(tmp_path, SHORT + "profiles: {extract: mine.yaml, distances: slurm-cpu}\n")
    assert study.profiles == {"extract": str(tmp_path / "mine.yaml"), "distances": "slurm-cpu"}


def test_missing_and_binary_files_are_named(tmp_path):
    with pytest.raises(InputError, match="there is no study file"):
        StudyFile.from_file(tmp_path / "no.yaml")
    (tmp_path / "b.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read as YAML"):
        StudyFile.from_file(tmp_path / "b.yaml")
    with pytest.raises(InputError, match="is a folder"):
        StudyFile.from_file(tmp_path)


@pytest.mark.parametrize("name", ["net.h5", "Net.H5", "sub/Net", "net.KERAS", "old.HDF5"])
def test_weight_files_of_any_spelling_lie_beside_the_study(name, tmp_path):
    study = StudyFile.from_dict(
        {"store": "s.zarr", "images": {"targets": "t"}, "model": {"weights": name}}, base=tmp_path
    )
    assert study.model.weights == str(tmp_path / name)
    word = StudyFile.from_dict(
        {"store": "s", "images": {"targets": "t"}, "model": {"weights": "resnet50"}}, base=tmp_path
    )
    assert word.model.weights == "resnet50"


def test_sections_give_the_settings_of_their_stages(tmp_path):
    plain = read(tmp_path, SHORT)
    sections = (plain.model, plain.distinctiveness, plain.reconstruction, plain.relate)
    kinds = (ExtractionOptions, DistanceOptions, ReconstructionOptions, RelateOptions)
    assert [section.options for section in sections] == [kind() for kind in kinds]
    study = read(
        tmp_path,
        SHORT + "model: {storage: float16, batch_size: 4}\nrelate: {bootstrap: 20, seed: 5}\n"
        "distinctiveness: {neighbours: 3, within-category: true}\nreconstruction: {units: 9, train-on: fillers}\n",
    )
    assert study.model.options == ExtractionOptions(dtype="float16", batch_size=4)
    assert study.distinctiveness.options == DistanceOptions(n_neighbours=3, category="category")
    assert study.reconstruction.options == ReconstructionOptions(n_units=9, train_on="fillers")
    assert study.relate.options == RelateOptions(n_bootstrap=20, random_state=5)


def test_settings_are_read_and_copied_by_key_and_by_field(tmp_path):
    settings = read(tmp_path, SHORT).reconstruction
    for name in ("units", "n_units"):
        copied = settings.model_copy(update={name: 7})
        assert copied.units == copied.n_units == copied.options.n_units == 7
    with pytest.raises(AttributeError, match="has no attribute 'unit'"):
        _ = settings.unit


def test_keys_are_those_of_the_file_alone(tmp_path):
    with pytest.raises(InputError, match=r"distinctiveness.n_neighbours: unknown key.*'neighbours'"):
        read(tmp_path, SHORT + "distinctiveness: {n_neighbours: 3}\n")


def test_a_study_is_dumped_with_the_keys_that_it_is_read_with(tmp_path):
    text = SHORT + "reconstruction: {units: 9, batch-size: 3}\nrelate: {bootstrap: 20}\nmodel: {storage: float16}\n"
    study = read(tmp_path, text)
    assert StudyFile.from_dict(study.model_dump()) == study
    asked = {"bootstrap": 20, "interval": "percentile", "given": (), "seed": 0}
    assert asked.items() <= study.relate.model_dump().items()


def test_a_readout_is_on_or_off_or_has_settings(tmp_path):
    assert read(tmp_path, SHORT).relate.readout is None
    assert read(tmp_path, SHORT + "relate: {readout: false}\n").relate.readout is None
    assert read(tmp_path, SHORT + "relate: {readout: true}\n").relate.readout.options == ReadoutOptions()
    study = read(tmp_path, SHORT + "relate: {readout: {folds: 5, penalties: [1, 10]}, predictions: resmem}\n")
    assert study.relate.readout.options == ReadoutOptions(5, (1.0, 10.0))
    assert study.relate.predictions.source == PredictionSource(("resmem",))
    assert StudyFile.from_dict(study.model_dump()) == study
    with pytest.raises(InputError, match=r"relate.readout: invalid value 'maybe': expected true, false, or a mapping"):
        read(tmp_path, SHORT + "relate: {readout: maybe}\n")


def test_scaling_is_a_key_of_the_study_and_a_setting_of_both_measures(tmp_path):
    assert read(tmp_path, SHORT).distance_options == DistanceOptions()
    study = read(tmp_path, SHORT + "scaling: z-score\n")
    assert study.distance_options == DistanceOptions(scaling="z-score")
    assert study.reconstruction_options == ReconstructionOptions(scaling="z-score")
    with pytest.raises(InputError, match="scaling: invalid value 'minmax': expected 'none' or 'z-score'"):
        read(tmp_path, SHORT + "scaling: minmax\n")
    with pytest.raises(InputError, match=r"distinctiveness.scaling: unknown key"):
        read(tmp_path, SHORT + "distinctiveness: {scaling: z-score}\n")


TABLE = "store: s.zarr\nimages: {table: images.csv}\n"


def test_activations_are_a_folder_a_matrix_or_a_matrix_a_layer(tmp_path):
    assert read(tmp_path, SHORT).activations.folder == tmp_path / "A"
    assert read(tmp_path, SHORT).activations.matrices(["fc2"]) == {}
    one = read(tmp_path, TABLE + "activations: all.npz\nlayers: [a, b]\n").activations.matrices(["a", "b"])
    assert {layer: source.file for layer, source in one.items()} == dict.fromkeys("ab", str(tmp_path / "all.npz"))
    assert {layer: source.array for layer, source in one.items()} == {"a": "a", "b": "b"}  # not one array for both
    (tmp_path / "who.txt").write_text("1.jpg\n")
    text = "activations: {names: who.txt, layers: {conv5: c.npy, fc7: {file: f.h5, array: x/y, names: who}}}\n"
    study = read(tmp_path, TABLE + text)
    assert study.layers == ("conv5", "fc7")  # without `layers` those that have a matrix
    found = study.activations.matrices(study.layers)
    assert vars(found["conv5"]) == {"file": str(tmp_path / "c.npy"), "array": None, "names": str(tmp_path / "who.txt")}
    assert vars(found["fc7"]) == {"file": str(tmp_path / "f.h5"), "array": "x/y", "names": "who"}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("store: s.zarr\nactivations: all.npz\n", "`activations` of matrices need `images` too"),
        (TABLE + "activations: {}\n", "activations: `activations` is a folder, or has either `file` or `layers`"),
        (TABLE + "activations: {file: a.npz, layers: {a: b.npy}}\n", "has either `file` or `layers`"),
        (TABLE + "activations: A\n", "give either `images` or `activations`"),
        ("store: s.zarr\nactivations: {folder: A, names: n.txt}\n", "`names` goes with matrices"),
        (
            TABLE + "activations: {layers: {a: b.npy}}\nlayers: [a, c]\n",
            "has 'c', of which `activations` has no",
        ),
        (TABLE + "activations: a.csv\n", "has one matrix, 'a.csv', for 7 layers: name the one layer"),
        (TABLE + "activations: {layer: {a: b.npy}}\n", "activations.layer: unknown key; did you mean 'layers'"),
        (
            TABLE + "activations: {layers: {a: {files: b.npy}}}\n",
            r"activations\.layers\.a\.files: unknown key; did you mean 'file'",
        ),
        (TABLE + "activations: [a]\n", "activations: .*expected a mapping of keys to values"),
    ],
)
def test_activations_that_cannot_be_are_named(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, text)


IMAGES = "store: s.zarr\nimages: {targets: t}\n"


def test_layers_take_their_pooling_along_and_stay_names(tmp_path):
    text = IMAGES + "layers: [fc2, {name: block5_pool, pooling: max}, {name: fc1}]\nmodel: {seed: 3}\n"
    study = read(tmp_path, text)
    assert study.layers == ("fc2", "block5_pool", "fc1")
    assert study.model.pooling == {"fc2": "none", "block5_pool": "max", "fc1": "none"}
    assert study.model.options.pooling == study.model.pooling
    assert study.model.seed == 3
    assert StudyFile.from_dict(study.model_dump()) == study
    common = read(tmp_path, IMAGES + "layers: [fc2, {name: block5_pool, pooling: max}]\nmodel: {pooling: mean}\n")
    assert common.model.pooling == {"fc2": "mean", "block5_pool": "max"}
    everywhere = read(tmp_path, IMAGES + "layers: [fc2]\nmodel: {pooling: mean, prefix-tokens: 5}\n")
    assert (everywhere.model.options.pooling, everywhere.model.options.prefix_tokens) == ("mean", 5)
    assert read(tmp_path, IMAGES).model.pooling == "none"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("layers: [{name: fc2, poling: max}]", "a mapping with the keys name, poling; a layer is a name, or has"),
        ("layers: [{pooling: max}]", "a mapping with the keys pooling; a layer is a name"),
        ("layers: [{name: fc2, pooling: average}]", "model.pooling: fc2: invalid value 'average': expected none"),
        ("model: {pooling: average}", "model.pooling: invalid value 'average': expected none, mean, max, cls, flatten"),
        ("model: {pooling: {fc9: max}}", "`pooling` names 'fc9', which is not among `layers`"),
        ("layers: [{name: fc2, pooling: max}, fc2]", "names a layer twice"),
        ("model: {prefix-tokens: -1}", "prefix-tokens: invalid value -1"),
    ],
)
def test_a_pooling_that_cannot_be_is_refused(tmp_path, text, sentence):
    with pytest.raises(InputError, match=sentence):
        read(tmp_path, IMAGES + text + "\n")


def test_activations_are_taken_over_as_they_are(tmp_path):
    with pytest.raises(InputError, match="`pooling` goes with a network: `activations` are taken as they are"):
        read(tmp_path, "store: s.zarr\nactivations: A\nlayers: [{name: fc2, pooling: mean}]\n")


SEVERAL = "store: s.zarr\nimages: {targets: T}\nmodels:\n"


def test_several_networks_have_names_and_layers_of_their_own(tmp_path):
    study = read(
        tmp_path,
        SEVERAL + "- {name: vgg, weights: random, layers: [fc2, block1_pool]}\n"
        "- {name: ViT-S_1.0, weights: net.onnx, storage: float16, preprocessing: {scale: 1/255, size: 224},\n"
        "   layers: [/b/0, {name: /b/1, pooling: cls}], pooling: mean}\n",
    )
    assert study.layers == ("fc2@vgg", "block1_pool@vgg", "/b/0@ViT-S_1.0", "/b/1@ViT-S_1.0")
    vgg, vit = study.networks
    assert (vgg.model, vgg.layers, vgg.options) == (
        "vgg", ("fc2", "block1_pool"), ExtractionOptions(weights="random"),
    )  # fmt: skip
    assert vit.options.weights == str(tmp_path / "net.onnx")
    assert vit.options.dtype == "float16"
    assert vit.options.preprocessing.size == (224, 224)
    assert vit.options.pooling == {"/b/0": "mean", "/b/1": "cls"}
    assert study.network_of("/b/1@ViT-S_1.0") == vit
    assert StudyFile.from_dict(study.model_dump()) == study
    fewer = study.model_copy(update={"layers": ["/b/1@ViT-S_1.0"]})
    assert [(one.model, one.layers) for one in fewer.networks] == [("ViT-S_1.0", ("/b/1",))]


def test_layers_of_one_of_several_networks_are_the_seven_by_default(tmp_path):
    study = read(tmp_path, SEVERAL + "- {name: a}\n- {name: b, seed: 1, weights: random}\n")
    assert study.layers == tuple(f"{layer}@{name}" for name in "ab" for layer in LAYERS)


def test_one_network_has_no_name(tmp_path):
    (network,) = read(tmp_path, FULL).networks
    assert (network.model, network.layers, network.labels) == ("", ("block5_pool", "fc2"), ("block5_pool", "fc2"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("- {name: a}\nmodel: {weights: random}\n", r"give either `model` \(one network\) or `models` \(several\)"),
        ("- {name: a}\nlayers: [fc2]\n", "each of them has its own `layers`: move `layers` there"),
        ("- {name: a}\n- {name: A}\n", r"`models` has duplicate names: a, A \(upper and lower case"),
        ("- {name: a/b}\n", r"models\.0\.name: invalid value 'a/b': expected a name of letters, digits, - _ and \."),
        ("- {name: ..}\n", r"models\.0\.name: invalid value '\.\.': expected a name"),
        ("- {name: a b}\n", r"models\.0\.name: invalid value 'a b': expected a name"),
        ("- {weights: random}\n", r"models\.0\.name: this key is missing"),
        ("- {name: a, weight: random}\n", r"models\.0\.weight: .*did you mean.*weights"),
        ("- {name: a, weights: random, layers: [fc9]}\n", "`layers` of model a has 'fc9', which VGG-16 does not"),
        ("- {name: a, layers: [fc2, fc2]}\n", "`layers` of model a names a layer twice"),
        ("- {name: a, layers: [fc2@b]}\n", "`layers` of model a has 'fc2@b'; a layer's name is letters"),
        ("- {name: a, layers: [fc2], pooling: {fc1: mean}}\n", "`pooling` of model a names 'fc1'"),
        ("  a: {weights: random}\n", "models: invalid value .*list"),
        ("  []\n", "models: .*at least 1"),
    ],
)
def test_what_several_networks_cannot_be_is_said(tmp_path, text, named):
    with pytest.raises(InputError, match=named):
        read(tmp_path, SEVERAL + text)


def test_several_networks_are_for_images(tmp_path):
    with pytest.raises(InputError, match="`models` are networks for `images`; with `activations`, leave them out"):
        read(tmp_path, "store: s.zarr\nactivations: A\nmodels: [{name: a}]\n")


def test_measures_are_words_or_have_settings_and_survive_a_copy(tmp_path):
    study = read(tmp_path, SHORT + "measures: [typicality, {name: density, neighbours: 5}]\n")
    assert [one.word for one in study.measures] == ["typicality", "density"]
    assert study.measures[1].options.neighbours == 5
    again = StudyFile.from_dict(study.model_dump(mode="json"), base=tmp_path)
    assert again.measures == study.measures
    assert read(tmp_path, SHORT).measures == ()
    with pytest.raises(InputError, match="there is no measure 'typical'; did you mean 'typicality'"):
        read(tmp_path, SHORT + "measures: [typical]\n")
    with pytest.raises(InputError, match="density: neighbours: invalid value 0: expected a whole number from"):
        read(tmp_path, SHORT + "measures: [{name: density, neighbours: 0}]\n")


def test_a_report_is_a_path_or_has_the_measures_of_its_figure_too(tmp_path):
    study = read(tmp_path, SHORT + "report: {file: r/x.html, measures: [norm, edge_share]}\n")
    assert study.report == tmp_path / "r" / "x.html"
    assert study.report_measures == ("norm", "edge_share")
    assert StudyFile.from_dict(study.model_dump(mode="json"), base=tmp_path) == study
    assert read(tmp_path, SHORT + "report: {measures: [norm]}\n").report == tmp_path / "report.html"
    assert read(tmp_path, SHORT + "report: y.html\n").report_measures == ()
    with pytest.raises(InputError, match="`report` has the measure 'norms'; did you mean 'norm'"):
        read(tmp_path, SHORT + "report: {measures: [norms]}\n")
    with pytest.raises(InputError, match=r"report\.files: unknown key; did you mean 'file'"):
        read(tmp_path, SHORT + "report: {files: x.html}\n")


def test_the_engine_of_a_network_is_a_word(tmp_path):
    assert read(tmp_path, SHORT).model.engine is None
    for word in ("keras", "onnx", "auto"):
        study = read(tmp_path, SHORT + f"model: {{engine: {word}}}\n")
        assert study.networks[0].options.engine == word
    with pytest.raises(InputError, match=r"model.engine: invalid value 'tensorflow': expected .*keras.*onnx.*auto"):
        read(tmp_path, SHORT + "model: {engine: tensorflow}\n")
    with pytest.raises(InputError, match="did you mean 'engine'"):
        read(tmp_path, SHORT + "model: {engin: onnx}\n")
