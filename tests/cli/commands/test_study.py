"""The command line as a user meets it: exit codes, sentences, what is loaded."""

import gc
import json
import os
import re
import subprocess
import sys

import h5py
import numpy as np
import pytest
from PIL import Image
from scipy.stats import zscore

from distspc import __version__
from distspc.cli.main import main
from distspc.datasets.demo import write_demo
from distspc.errors import InputError
from distspc.layers import VGG16, vgg16_weight_shapes
from distspc.pipeline.run import Study
from distspc.testing.stores import relu_activations


def run(*arguments, capsys):
    """Run the command line in this process; returns exit code, standard output and error."""
    try:
        main(arguments)
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


@pytest.fixture
def study(tmp_path):
    values = relu_activations(30, 40)
    for name, rows in (("Targets", values[:12]), ("Fillers", values[12:])):
        (tmp_path / "A/fc2" / name).mkdir(parents=True)
        for number, row in enumerate(rows, start=1):
            np.save(tmp_path / "A/fc2" / name / f"{number}.npy", row[None])
    (tmp_path / "scores.csv").write_text("im_ind,hit\n" + "".join(f"{i + 1},{0.3 + i / 40}\n" for i in range(12)))
    path = tmp_path / "study.yaml"
    path.write_text(
        "store: s.zarr\nactivations: A\nlayers: [fc2]\nscores: {file: scores.csv, columns: [hit]}\n"
        "reconstruction: {units: 20, codewords: 8, batches: 3, batch-size: 8}\nrelate: {bootstrap: 20}\n"
    )
    return path


def test_help_and_import_load_nothing_heavy():
    code = (
        "import sys, distspc, distspc.cli.main\n"
        "heavy = 'tensorflow keras dask_jobqueue matplotlib distributed dask pandas xarray zarr numpy'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_version(capsys):
    assert run("--version", capsys=capsys) == (0, f"distspc {__version__}\n", "")


def test_whole_study_then_nothing_to_do_then_status_and_export(study, capsys, tmp_path):
    code, out, err = run("run", str(study), "--set", "workers=1", capsys=capsys)
    assert code == 0, err
    assert "dashboard: http://127.0.0.1" in err
    assert "report: " in out
    assert "fc2" in out
    code, out, err = run("run", str(study), capsys=capsys)
    assert code == 0
    assert "Nothing to do" in out
    assert "dashboard" not in err
    code, out, _ = run("status", str(study), capsys=capsys)
    assert code == 0
    lines = [line.split() for line in out.splitlines()[1:]]
    assert [line[:3] for line in lines] == [
        ["extract", "fc2", "done"],
        ["distances", "fc2", "done"],
        ["reconstruct", "fc2", "done"],
        ["relate", "done"],
        ["report", "done"],
    ]
    assert [len(line) for line in lines] == [3, 3, 10, 2, 2]
    assert re.search(r"done \(iterations a batch: median \d+, most \d+\)\n", out)
    assert gc.isenabled()
    code = (
        "import atexit, sys\nfrom distspc.cli import main\n"
        "heavy = 'tensorflow keras dask_jobqueue matplotlib distributed dask pandas xarray'.split()\n"
        "atexit.register(lambda: print([name for name in heavy if name in sys.modules]))\n"
        "main(['status', sys.argv[1]])"
    )
    done = subprocess.run([sys.executable, "-c", code, str(study)], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", "asking how far a study is does not wait for what computes"
    code, out, _ = run("export", str(study), str(tmp_path / "out"), capsys=capsys)
    assert code == 0
    assert (tmp_path / "out/Results/Dist/fc2_NN.csv").exists()


def test_verify_finds_and_removes_damage_and_a_run_mends_it(study, capsys):
    run("extract", str(study), "--set", "workers=1", capsys=capsys)
    chunk = study.parent / "s.zarr/activations/fc2/activation/c/0/0"
    whole = chunk.read_bytes()
    chunk.write_bytes(whole[:-1] + bytes([whole[-1] ^ 255]))
    code, out, _ = run("verify", str(study), capsys=capsys)
    assert code == 1
    assert f"damaged, removed: {chunk}" in out
    run("extract", str(study), "--set", "workers=1", capsys=capsys)
    assert chunk.read_bytes() == whole
    assert run("verify", str(study), capsys=capsys)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "no.yaml"], "error: there is no study file no.yaml"),
        (["status", "no.yaml"], "error: there is no study file no.yaml"),
        (["relate"], "give a study file, or --measures"),
        (["relate", "--measures", "no.csv", "--scores", "no.csv", "--by", "x"], "no.csv: there is no such file"),
        (["job-script", "--profile", "local"], "slurm-cpu"),
        (["run"], "Missing argument 'STUDY.yaml'"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_bad_input_is_exit_code_2_and_a_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, err = run(*arguments, capsys=capsys)
    assert code == 2
    assert sentence in err
    assert "Traceback" not in err


def test_unknown_profile_names_the_known_ones(study, capsys):
    code, _, err = run("run", str(study), "--profile", "nowhere", capsys=capsys)
    assert code == 2
    assert "slurm-cpu" in err


def test_stage_without_what_it_rests_on(study, capsys):
    code, _, err = run("distances", str(study), capsys=capsys)
    assert code == 2
    assert "run `distspc extract` first" in err


def test_second_run_while_one_is_on_is_refused(study, capsys):
    from distspc.store.access import lock

    with lock(study.parent / "s.zarr"):
        code, _, err = run("run", str(study), capsys=capsys)
    assert code == 2
    assert f"in use by process {os.getpid()}" in err


def test_relate_of_two_tables(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("image,size\n" + "".join(f"{i},{i % 7}\n" for i in range(40)))
    (tmp_path / "s.csv").write_text("image,hit\n" + "".join(f"{i},{(i % 7) / 10 + (i % 3) / 50}\n" for i in range(40)))
    files = ["--measures", str(tmp_path / "m.csv"), "--scores", str(tmp_path / "s.csv"), "--by", "image"]
    code, out, err = run("relate", *files, "--output", str(tmp_path / "o.csv"), capsys=capsys)
    assert code == 0, err
    assert "size" in out
    header = (tmp_path / "o.csv").read_text().splitlines()[0]
    assert header.startswith("measure,given,method,n,r,ci_low,ci_high,p")


NAMES = ["rt [ms]", "rt [z]", "x[/b]y", "[bold]", ":smile:", "a" * 262, "RT<500", "\x1b[31mred"]


def test_names_of_columns_are_shown_whole(tmp_path, capsys):
    values = [(i * 37 % 40) / 40 for i in range(40)]
    (tmp_path / "m.csv").write_text("image,size\n" + "".join(f"{i},{i % 7}\n" for i in range(40)))
    rows = "".join(f"{i},{','.join([str(value)] * len(NAMES))}\n" for i, value in enumerate(values))
    (tmp_path / "s.csv").write_text(f"image,{','.join(NAMES)}\n{rows}")
    files = ["--measures", str(tmp_path / "m.csv"), "--scores", str(tmp_path / "s.csv"), "--by", "image"]
    code, out, err = run("relate", *files, "--bootstrap", "10", capsys=capsys)
    assert code == 0, err
    shown = out.splitlines()
    assert len(shown) == len(NAMES) + 1
    assert all(name.replace("\x1b", "\\x1b") in line for name, line in zip(NAMES, shown[1:], strict=True))


def test_relate_says_what_it_leaves_out_and_takes_markers(tmp_path, capsys):
    (tmp_path / "m.csv").write_text("image,size\n" + "".join(f"{i}.png,{i % 7}\n" for i in range(20)))
    entries = [str(i % 5) if i != 4 else "-" for i in range(20)]
    rows = "".join(f"{i},{i}.png,{entry},a,7\n" for i, entry in enumerate(entries))
    (tmp_path / "s.csv").write_text(f",image,mem,note,n\n{rows}")
    files = ["--measures", str(tmp_path / "m.csv"), "--scores", str(tmp_path / "s.csv"), "--by", "image"]
    code, out, err = run("relate", *files, capsys=capsys)
    assert code == 2
    assert "s.csv, column mem: not a number: '-' in line 6" in err
    for markers in (["--missing", "-"], ["--missing", "x,-"], ["--missing", "x", "--missing", "-"]):
        code, out, err = run("relate", *files, *markers, capsys=capsys)
        assert code == 0, err
        assert [line.split()[:4] for line in out.splitlines()[1:]] == [["size", "mem", "pearson", "19"]]
        assert "row numbers: column without a name" in err
        assert "text: column note" in err
        assert "the same for all images, or without values: column n" in err
        assert "1 entry of column mem is read as missing" in err


def test_plan_tells_and_refuses(study, capsys):
    code, out, _ = run("plan", str(study), capsys=capsys)
    assert code == 0
    assert "12 targets, 18 fillers" in out
    assert "estimate:" in out
    (study.parent / "Images").mkdir()
    for number in range(3):
        Image.new("RGB", (8, 8)).save(study.parent / f"Images/{number}.png")
    with_images = "images: {targets: Images}\nmodel: {weights: random}"
    study.write_text(study.read_text().replace("activations: A", with_images).replace("[fc2]", "[block1_pool, fc2]"))
    code, _, err = run("plan", str(study), "--set", "workers=1", "--set", "memory-per-worker=0.5 GiB", capsys=capsys)
    assert code == 2
    assert "extract: a task needs about" in err
    assert "give each worker more memory" in err


def test_a_plan_can_be_had_in_numbers_for_a_speed_that_is_named(study, capsys):
    code, out, _ = run("plan", str(study), "--format", "json", "--gflops", "50", "--set", "workers=1", capsys=capsys)
    assert code == 0
    plan = json.loads(out)
    assert (plan["profile"], plan["n_workers"], plan["gflops_per_core"]) == ("local", 1, 50.0)
    assert {row["stage"] for row in plan["stages"]} == {"extract", "distances", "reconstruct"}
    assert plan["makespan_s"] == pytest.approx(sum(row["seconds"] for row in plan["stages"]))
    code, _, err = run("plan", str(study), "--gflops", "0", capsys=capsys)
    assert code == 2
    assert "--gflops 0 must be a number above 0" in err


def test_demo_patches_are_made_once_and_nothing_else_is_touched(tmp_path):
    path = write_demo(tmp_path / "demo")
    made = sorted(p.name for p in (tmp_path / "demo/Images/Fillers").iterdir())
    assert len(made) == 80
    assert write_demo(tmp_path / "demo") == path
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="is not an empty folder"):
        write_demo(tmp_path / "mine")


def test_demo_with_weights_names_the_layers_that_the_file_has(tmp_path):
    shapes = vgg16_weight_shapes([name for name in VGG16 if name[:6] in ("block1", "block2")], 1365)
    with h5py.File(tmp_path / "two_blocks.h5", "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in shapes]
        for name, parts in shapes.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"kernel", b"bias"]
            for part, shape in zip(("kernel", "bias"), parts, strict=True):
                group.create_dataset(part, data=np.full(shape, 0.01, np.float32))
    study = Study.from_file(write_demo(tmp_path / "demo", tmp_path / "two_blocks.h5"))
    assert study.layers == ("block1_pool", "block2_pool")
    assert study.model.weights == str(tmp_path / "two_blocks.h5")
    with pytest.raises(InputError, match="there is no such file"):
        write_demo(tmp_path / "other", tmp_path / "none.h5")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["report", "s.yaml", "--profile", "local"], "--profile has no effect on `distspc report`"),
        (["relate", "s.yaml", "--set", "workers=1"], "--set has no effect on `distspc relate`"),
        (["distances", "s.yaml", "--strict"], "--strict has no effect on `distspc distances`"),
    ],
)
def test_options_without_effect_are_refused(arguments, named, capsys):
    code, _, err = run(*arguments, capsys=capsys)
    assert code == 2
    assert named in err


def test_a_study_of_scaled_features_from_the_first_stage_to_the_report(study, capsys):
    plain = study.read_text()
    study.write_text(plain + "scaling: z-score\n")
    assert run("extract", str(study), capsys=capsys)[0] == 0
    code, _, err = run("run", str(study), capsys=capsys)
    assert code == 0, err
    store = Study.from_file(study).stored
    assert store.distances.attributes["recipe"]["scaling"] == "z-score"
    assert store.reconstruction.attributes["recipe"]["scaling"] == "z-score"
    assert "z-score" in (study.parent / "report.html").read_text()
    z = zscore(relu_activations(30, 40).astype(float), axis=0).astype(np.float32).astype(float)
    apart = np.linalg.norm(z[:12, None] - z[None], axis=2) + np.where(np.eye(12, 30), np.inf, 0)
    np.testing.assert_allclose(store.distances.read("distance")[0, :, 0], apart.min(axis=1), rtol=1e-6)
    study.write_text(plain)
    code, _, err = run("run", str(study), capsys=capsys)
    assert code == 2
    assert 'scaling was "z-score", now "none"' in err


def test_a_stage_says_that_scaled_features_need_their_moments(study, capsys):
    assert run("extract", str(study), capsys=capsys)[0] == 0
    study.write_text(study.read_text() + "scaling: z-score\n")
    code, out, err = run("distances", str(study), capsys=capsys)
    assert code == 2
    assert "run the stage extract first" in out + err
    assert run("run", str(study), capsys=capsys)[0] == 0
