"""Stores of old commits open, resume and report; through the command line and the public names alone.

The archives are finished studies that `make.py` made with the code of the commit in their name. They were made in
another folder: unpacked here, they are studies that were moved.
"""

import os
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

import distspc

ARCHIVES = sorted(Path(__file__).parent.glob("*.tar.xz"))
MADE_IN = "/tmp/study"
COMPUTED = ("activations", "distances", "reconstruction")
OTHER_SETTINGS = [
    ("neighbours: 3", "neighbours: 2", "n_neighbours was 3, now 2"),
    ("batches: ", "sparsity: 0.01, batches: ", "sparsity was 0.001, now 0.01"),
    ("weights: random", "weights: random, seed: 5", 'weights was "random:he-uniform:0", now "random:he-uniform:5"'),
]
LAYER, SEED = "fc2", 1  # what is taken away


@pytest.fixture(params=ARCHIVES, ids=lambda path: path.name.removesuffix(".tar.xz"))
def study(request, tmp_path):
    with tarfile.open(request.param) as packed:
        packed.extractall(tmp_path, filter="data")
    return tmp_path / "study.yaml"


def command(*arguments):
    """Run the command line in a process of its own; gives exit code, standard output and error."""
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "distspc", *map(str, arguments)], capture_output=True, text=True, env=environment
    )
    return done.returncode, done.stdout, done.stderr


def run(study):
    code, out, err = command("run", study, "--set", "workers=1")
    assert code == 0, out + err
    return out


def states(study):
    code, out, err = command("status", study)
    assert code == 0, err
    return [re.sub(r" \(iterations a batch: .*?\)", "", line).split() for line in out.splitlines()[1:]]


def files(study, *groups):
    """Every file of some groups of the store, with its content and the time of its last change."""
    found = {}
    for group in groups:
        for path in (study.parent / "study.zarr" / group).rglob("*"):
            if path.is_file():
                found[path.relative_to(study.parent).as_posix()] = path.read_bytes(), path.stat().st_mtime_ns
    return found


def chunks(study, *groups):
    return {name: known for name, known in files(study, *groups).items() if "/c/" in name}


def kept(study, name):
    """A table as its file says it: text alone, as readers of numbers may lose the last bit."""
    return pd.read_csv(study.parent / name, dtype=str, keep_default_na=False)


def same(table, wanted, **tolerance):
    """Compare with a kept table, to the last bit by default; columns that came later are left out."""
    assert len(table) == len(wanted)
    for name in wanted.columns:
        values = table[name]
        if pd.api.types.is_numeric_dtype(values):
            numbers = [float(entry or "nan") for entry in wanted[name]]
            np.testing.assert_allclose(values, numbers, err_msg=name, **({"rtol": 0} | tolerance))
        else:
            assert values.fillna("").tolist() == wanted[name].tolist()


def measures(study):
    """The tidy table; a moved study is told where its images are by its first run."""
    table = distspc.tidy_table(study.parent / "study.zarr")
    return table.assign(file=[file.replace(str(study.parent), MADE_IN) for file in table["file"]])


def relations(study):
    found = distspc.open_results(study.parent / "study.zarr")["relations"].to_dataset().load()
    return pd.DataFrame({name: found[name].values for name in found.data_vars})


def test_there_are_stores_of_both_kinds():
    assert {path.name.split("-")[1] for path in ARCHIVES} == {"images.tar.xz", "activations.tar.xz"}


def test_a_finished_study_is_whole_and_read_as_it_was(study):
    wanted, store = kept(study, "table.csv"), study.parent / "study.zarr"
    *computed, page = [state[-1] for state in states(study)]
    assert computed == ["done"] * (3 * wanted["layer"].nunique() + 1)
    assert page != "done"  # it is of another version
    same(distspc.tidy_table(store), wanted)
    same(distspc.open_results(store).to_dataframe(), wanted)
    same(relations(study), kept(study, "relations.csv"))
    code, out, err = command("export", study, study.parent / "exported")
    assert code == 0, err
    exported = kept(study, "exported/results.csv")
    assert exported[list(wanted.columns)].to_dict("list") == wanted.to_dict("list")
    code, out, err = command("verify", study)
    assert (code, out.splitlines()[-1]) == (0, "0 damaged chunks"), err


def test_a_run_computes_nothing_again(study):
    before, images = chunks(study, *COMPUTED), chunks(study, "images")
    out = run(study)
    if (study.parent / "Images").exists():  # moved images are looked at once more, and the table says where they are
        changed = {name for name, (content, _) in chunks(study, "images").items() if content != images[name][0]}
        assert {name.split("/")[2] for name in changed} == {"file", "modified"}
        same(relations(study), kept(study, "relations.csv"), rtol=1e-9, atol=1e-12)
        images = chunks(study, "images")
    else:
        assert "Done: report (1 task)" in out
        same(relations(study), kept(study, "relations.csv"))
    assert "Nothing to do" in run(study)
    assert chunks(study, *COMPUTED) == before
    assert chunks(study, "images") == images
    same(measures(study), kept(study, "table.csv"))


def of_layer(name, layer):
    return bool(re.fullmatch(rf"study.zarr/distances/(?!target|image)\w+/c/{layer}(/\d+)*", name))


def of_seed(name, layer, seed):
    return bool(re.fullmatch(rf"study.zarr/reconstruction/\w+/c/{layer}/{seed}(/\d+)*", name))


def test_what_is_lost_is_computed_again_and_nothing_else(study):
    store, wanted = study.parent / "study.zarr", kept(study, "table.csv")
    layers = zarr.open_array(store, path="reconstruction/layer", mode="r")[:].tolist()
    seeds = zarr.open_array(store, path="reconstruction/seed", mode="r")[:].tolist()
    before = chunks(study, *COMPUTED)
    old = zarr.open_array(store, path="reconstruction/error", mode="r")[:]
    at, seed = layers.index(LAYER), seeds.index(SEED)
    lost = {name for name in before if of_seed(name, at, seed)} | {f"study.zarr/distances/distance/c/{at}/0/0"}
    for name in lost:
        (study.parent / name).unlink()
    (study.parent / "report.html").unlink()
    left = [state for state in states(study) if state[-1] != "done"]
    assert [state[:2] for state in left if state[0] in ("distances", "reconstruct")] == [
        ["distances", LAYER],
        ["reconstruct", LAYER],
    ]

    run(study)
    assert {state[-1] for state in states(study)} == {"done"}
    after = chunks(study, *COMPUTED)
    assert set(before) <= set(after)
    again = {name for name in after if after[name] != before.get(name)}
    assert again <= {name for name in after if of_layer(name, at) or of_seed(name, at, seed)}
    assert lost <= again

    # What stayed is the same to the last bit; what was computed again may differ in it, by the machine's BLAS.
    table = measures(study)
    there = table["layer"] != LAYER
    same(table[there], wanted[there])
    same(table, wanted.drop(columns="pool_distance"), rtol=1e-9)
    same(table, wanted[["pool_distance"]], rtol=1e-5)  # of products in single precision
    new = zarr.open_array(store, path="reconstruction/error", mode="r")[:]
    np.testing.assert_allclose(new[at, seed], old[at, seed], rtol=1e-9)
    page = (study.parent / "report.html").read_text(encoding="utf-8")
    assert LAYER in page
    assert f"by distspc 0.1.0, {distspc.__version__}" in page
    assert page.rstrip().endswith("</html>")
    assert list((study.parent / "figures").glob("*.png"))


def test_other_settings_are_refused_by_name(study):
    text, before = study.read_text(), files(study, "")
    for old, new, told in OTHER_SETTINGS:
        if old in text:
            study.write_text(text.replace(old, new))
            code, _, err = command("run", study)
            assert code == 2, new
            assert told in err
            assert files(study, "") == before
