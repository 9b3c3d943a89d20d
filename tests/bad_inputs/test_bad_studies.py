"""A study file that says what cannot be is refused in words, and nothing is written."""

import os

import numpy as np
import pytest

SHORT = "store: made/study.zarr\nactivations: Activations\nlayers: [fc2]\n"
LAUGHS = "a: &a [x, x, x]\nb: &b [*a, *a, *a]\nc: &c [*b, *b, *b]\nstore: made/s.zarr\nactivations: [*c, *c]\n"
HARM = "os.system ['touch harmed']"


def with_line(text):
    return SHORT + text + "\n"


# What the file says, as text or bytes, or what it is; and the sentence.
STUDIES = {
    "nothing in it": ("", "study.yaml must be a mapping of keys to values, not NoneType"),
    "a list": ("- store\n- images\n", "must be a mapping of keys to values, not list"),
    "a sentence": ("run everything, please\n", "must be a mapping of keys to values, not str"),
    "an open bracket": ("store: [", "study.yaml cannot be read as YAML"),
    "tabs": ("store: s\n\timages: x\n", "cannot be read as YAML: .*line 2"),
    "many brackets": ("[" * 5000, "cannot be read as YAML"),
    "UTF-16": ("store: s".encode("utf-16"), "cannot be read as YAML"),
    "a photograph": (b"\xff\xd8\xff\xe0\x00\x10JFIF", "cannot be read as YAML"),
    "a megabyte": (b"#" * 1_000_001, "1,000,001 bytes; a study file is a page of YAML"),
    "a folder": (lambda file: file.mkdir(), "study.yaml: is a folder"),
    "a pipe": (os.mkfifo, "study.yaml: is not a regular file"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "study.yaml: is not a regular file"),
    "a dangling link": (lambda file: file.symlink_to("nowhere"), "there is no study file .*study.yaml"),
    "a link to itself": (lambda file: file.symlink_to("study.yaml"), "cannot be read as YAML: .*symbolic links"),
    "a key twice": (with_line("store: other.zarr"), "line 4: duplicate key .store."),
    "a key that is a number": (with_line("1: x"), "1: invalid value 1: expected keys to be strings"),
    "a key that is a list": (with_line("? [a, b]\n: c"), "cannot be read as YAML: .*unhashable key"),
    "no store": ("activations: A\n", "store: this key is missing"),
    "no images": ("store: made/s.zarr\n", "give either `images` or `activations`"),
    "images twice": (with_line("images: {targets: T}"), "give either `images` or `activations`"),
    "an unknown key": (with_line("sead: 3"), "sead: unknown key; .*allowed are store, images"),
    "a misspelt key": (
        with_line("reconstruction: {code-words: 9}"),
        "unknown key; did you mean 'codewords'",
    ),
    "an unknown stage": (with_line("profiles: {extrakt: local}"), "profiles.extrakt.*'extract', 'distances'"),
    "text for a section": (with_line("reconstruction: lots"), "reconstruction: invalid value 'lots'"),
    "text for a number": (with_line("reconstruction: {units: lots}"), "units: invalid value 'lots': .*valid integer"),
    "a fraction for a count": (with_line("reconstruction: {batches: 2.5}"), "batches: invalid value 2.5"),
    "yes for a count": (with_line("reconstruction: {batches: yes}"), "batches: invalid value True"),
    "a number for layers": (with_line("scores: {file: s.csv, columns: 3}"), "scores.columns: invalid value 3"),
    "a list for a path": ("store: [a]\nactivations: A\n", "store: invalid value a list: expected a valid path$"),
    "a date for a path": ("store: 2024-02-30\nactivations: A\n", "cannot be read as YAML|store: invalid value .*"),
    "bytes for a path": ("store: !!binary AAA=\nactivations: A\n", "store: invalid value .*"),
    "a null byte in a path": ('store: "a\\0b"\nactivations: A\n', "store: .*null byte"),
    "no units": (with_line("reconstruction: {units: 0}"), "units: invalid value 0: .*greater than or equal to 1"),
    "a billion seeds": (with_line("reconstruction: {units: 1000000000000}"), "invalid value 1000000000000: .* 1000000"),
    "5,000 digits": (with_line("reconstruction: {units: " + "9" * 5000 + "}"), "cannot be read as YAML: .*digits"),
    "infinite sparsity": (with_line("reconstruction: {sparsity: .inf}"), "sparsity: invalid value inf: .*finite"),
    "sparsity that is no number": (with_line("reconstruction: {sparsity: .nan}"), "sparsity: invalid value nan"),
    "a list for a layer's name": (
        "store: s\nimages: {targets: T}\nlayers: [{name: [a]}]\n",
        r"has the name \['a'\]; expected",
    ),
    "no name of a layer": ("store: s\nimages: {targets: T}\nlayers: [{name: }]\n", "has the name None; expected"),
    "a layer without keys": ("store: s\nimages: {targets: T}\nlayers: [{}]\n", "the keys .none.; a layer is a name"),
    "an unknown pooling of a layer": (
        "store: s\nimages: {targets: T}\nlayers: [{name: fc2, pooling: men}]\n",
        "model.pooling: fc2: invalid value 'men': expected none, mean",
    ),
    "a mean beyond all numbers": (with_line("model: {preprocessing: {mean: 1e999}}"), "mean: invalid value '1e999'"),
    "a misspelt step without a value": (with_line("model: {preprocessing: {meen: }}"), "meen: .* did you mean 'mean'"),
    "a negative seed": (with_line("reconstruction: {seeds: [-1]}"), "seeds.0: invalid value -1"),
    "a large seed": (with_line("reconstruction: {seeds: [99999999999]}"), "seeds.0: invalid value 99999999999"),
    "no seeds": (with_line("reconstruction: {seeds: []}"), "seeds: .*: expected at least 1 item$"),
    "a seed twice": (with_line("reconstruction: {seeds: [0, 1, 0]}"), "`seeds` names a seed twice: 0, 1, 0"),
    "no layers": ("store: made/s.zarr\nactivations: A\nlayers: []\n", "layers: .*: expected at least 1 item$"),
    "a layer twice": ("store: made/s.zarr\nactivations: A\nlayers: [fc2, fc2]\n", "`layers` names a layer twice: fc2"),
    "an unknown layer": (
        "store: made/s.zarr\nimages: {targets: T}\nlayers: [fc3]\n",
        "`layers` has 'fc3', which VGG-16 does not; did you mean .fc2.. the seven are block1_pool",
    ),
    "a layer that climbs": (
        "store: made/s.zarr\nactivations: Activations\nlayers: [../../escaped]\n",
        "`layers` has '../../escaped'; a layer's name is letters, digits",
    ),
    "an unknown protocol": (
        with_line("distinctiveness: {protocol: papers}"),
        "invalid value 'papers': .*'paper', 'spc-public' or 'distinct'",
    ),
    "a digest of another kind": (with_line("model: {digest: md5:0}"), "model.digest: invalid value 'md5:0'"),
    "reliability over 1": (
        with_line("scores: {file: scores.csv, reliability: {hit: 75}}"),
        "scores.reliability.hit: invalid value 75: .*less than or equal to 1",
    ),
    "aliases that explode": (LAUGHS, r"line 2: aliases \(\*name\) are not allowed; write the value out"),
    "an alias of itself": ("store: &a [*a]\nactivations: A\n", "aliases .* are not allowed"),
    "a merged key": ("x: &x {a: 1}\nreconstruction:\n  <<: *x\n", "aliases .* are not allowed"),
    "a tag that runs code": (f"store: !!python/object/apply:{HARM}\n", "as YAML: .*constructor for the tag"),
    "a tag that makes objects": (
        "store: !!python/object/new:subprocess.Popen [[touch, harmed]]\n",
        "cannot be read as YAML",
    ),
    "a tag that imports": ("store: !!python/name:os.system\n", "cannot be read as YAML: .*constructor for the tag"),
    "a tag of nobody's": ("store: !include /etc/passwd\n", "cannot be read as YAML: .*constructor for the tag"),
}


@pytest.mark.parametrize("case", STUDIES)
def test_a_bad_study_file_is_refused(tmp_path, refused, case):
    content, sentence = STUDIES[case]
    study = tmp_path / "study.yaml"
    if callable(content):
        content(study)
    else:
        study.write_bytes(content if isinstance(content, bytes) else content.encode())
    for name in ("run", "status"):
        refused([name, "study.yaml"], f"(?s)error: .*{sentence}")
    assert not (tmp_path / "made").exists()
    assert not (tmp_path / "harmed").exists()


def replaced(old, new):
    def change(folder):
        study = folder / "study.yaml"
        assert old in study.read_text()
        study.write_text(study.read_text().replace(old, new))

    return change


# Where the study and what is beside it do not fit.
PLACES = {
    "no such study": (lambda f: (f / "study.yaml").unlink(), "there is no study file study.yaml"),
    "no activations": (replaced("Activations", "Elsewhere"), "there is no folder '.*Elsewhere/fc2/Targets'"),
    "no scores": (lambda f: (f / "scores.csv").unlink(), r"scores .*scores\.csv"),
    "the store is a file": (replaced("made/study.zarr", "scores.csv"), "store .*scores.csv is a file; name"),
    "the store is below a file": (replaced("made/study.zarr", "scores.csv/s.zarr"), "scores.csv.*; name"),
    "the store is the study's folder": (replaced("made/study.zarr", "."), "holds other files .*; name a new folder"),
    "the store is empty": (replaced("made/study.zarr", '""'), "holds other files .*; name a new folder"),
    "the store is the activations": (replaced("made/study.zarr", "Activations"), "holds other files .*; name a new"),
    "the report is the study": (replaced("made/report.html", "study.yaml"), "`report` is .*study.yaml.*ends in .html"),
    "the report is the scores": (replaced("made/report.html", "scores.csv"), "`report` is .*scores.csv.*ends in .html"),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_a_study_names_is_checked_before_anything_is_written(sources, refused, case):
    spoil, sentence = PLACES[case]
    spoil(sources)
    refused(["run", "study.yaml"], f"(?s)error: .*{sentence}")
    refused(["run", "study.yaml", "--redo"], f"(?s)error: .*{sentence}")
    assert not list((sources / "made").rglob("zarr.json"))


@pytest.mark.parametrize("name", ["images", "activations", "distances", "scores"])
def test_a_folder_named_like_a_part_of_the_store_is_safe(tmp_path, refused, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "1.png").write_bytes(b"precious")
    (tmp_path / "download.partial").write_bytes(b"precious too")
    (tmp_path / "study.yaml").write_text(
        f"store: .\nimages: {{targets: {name}}}\nmodel: {{weights: random}}\nlayers: [block1_pool]\n"
    )
    for options in ([], ["--redo"]):
        refused(["run", "study.yaml", *options], "holds other files .*; name a new folder")


# What was right when the measures were made, and is wrong now: they stay.
LATER = {
    "units have changed": (
        replaced("units: 12", "units: 13"),
        [],
        "was made with other settings .*--redo",
    ),
    "an unknown control": (
        replaced("bootstrap: 10", "bootstrap: 10, given: [size]"),
        [],
        "no measure size to control",
    ),
    "more neighbours than images": (
        replaced("relate:", "distinctiveness: {neighbours: 99}\nrelate:"),
        [],
        "n_neighbours was 1, now 99",
    ),
    "no activations, redone": (replaced("Activations", "Elsewhere"), ["--redo"], "there is no folder '.*Elsewhere"),
    "no scores, redone": (lambda f: (f / "scores.csv").unlink(), ["--redo"], r"scores .*scores\.csv"),
    "a score that is not there, redone": (
        replaced("[hit]", "[hits]"),
        ["--redo"],
        "no column hits; did you mean 'hit'. it has",
    ),
}


@pytest.mark.parametrize("case", LATER)
def test_measures_outlive_a_study_file_that_goes_wrong(measured, refused, case):
    spoil, options, sentence = LATER[case]
    spoil(measured)
    refused(["run", "study.yaml", *options], f"(?s)error: .*{sentence}")


COMMANDS = {
    "no study": (["run"], "Missing argument 'STUDY.yaml'"),
    "an unknown command": (["frobnicate"], "No such command 'frobnicate'"),
    "an unknown option": (["run", "study.yaml", "--fast"], "No such option: --fast"),
    "export without results": (
        ["export", "study.yaml", "made/out"],
        "holds no images yet: run `distspc extract` first",
    ),
    "verify without a store": (["verify", "study.yaml"], "is not a store yet: run the study first"),
    "distances without activations": (["distances", "study.yaml"], "run `distspc extract` first"),
    "report without anything": (["report", "study.yaml"], "run the study first|holds no"),
    "relate without measures": (["relate", "study.yaml"], "run .*first"),
    "relate without tables": (["relate", "--measures", "scores.csv"], "give a study file, or --measures"),
    "a demo among other files": (["demo", "."], "is not an empty folder: name another one"),
    "an unknown data set": (["init", "made/new", "--dataset", "flickr"], "flickr.*isola"),
    "export over a file": (["export", "study.yaml", "scores.csv"], "is a file; name a folder|run the study first"),
    "a report on a page that cannot be": (["run", "study.yaml", "--performance-report", "no/such/p.html"], "no/such"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_bad_command_is_refused(sources, refused, case):
    arguments, sentence = COMMANDS[case]
    refused(arguments, sentence)


def test_a_store_of_another_study_is_refused(measured, refused):
    np.save(measured / "Activations/fc2/Targets/9.npy", np.ones((1, 24), np.float32))
    refused(["run", "study.yaml"], "imported:8:6.*now .*imported:9:6.*--redo")
