"""What can be known before computing is in one table, all problems at once."""

import numpy as np
import pytest
from PIL import Image

from distspc.cli.dialogue.output import plan_text
from distspc.cli.main import main
from distspc.extraction import engines
from distspc.pipeline.check import brief
from distspc.pipeline.run import Study
from distspc.report.problems import left_out

N = 12


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "T").mkdir()
    rng = np.random.default_rng(0)
    for i in range(1, N + 1):
        pixels = rng.integers(0, 256, (5, 5, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((40, 40)).save(tmp_path / f"T/img{i}.png")
    rows = "".join(f"{i},{rng.normal():.4f},x\n" for i in range(1, N + 1))
    (tmp_path / "scores.csv").write_text("image,mem,category\n" + rows)
    return tmp_path


def study_of(folder, **changes):
    content = {
        "store": "s.zarr",
        "images": {"targets": "T"},
        "scores": {"file": "scores.csv", "image": "image", "columns": ["mem"]},
        "model": {"weights": "random", "batch-size": 4},
        "layers": ["block1_pool"],
        "reconstruction": {"units": 40, "codewords": 10, "batches": 3, "batch-size": 8},
        "relate": {"bootstrap": 20},
        "report": "r.html",
    }
    return Study.from_dict(content | changes, base=folder)


def test_a_good_study_has_no_problem_and_every_subject(folder):
    table = study_of(folder).check()
    assert set(table["state"]) == {"ok"}
    known = dict(zip(table["subject"], table["finding"], strict=True))
    assert known["images"] == "12 targets and 0 fillers"
    assert known["files"] == "all can be read"
    assert known["duplicates"] == "none"
    assert "number in the name" in known["scores"]
    assert "such as 1 to img1.png." in known["scores"]
    assert known["columns"] == "taken: mem; not named in `columns`: category (numbers: none)"
    assert "block1_pool 112 x 112 x 64" in known["network"]
    assert {"disk", "store", "memory of extract", "memory of distances", "memory of reconstruct", "time"} <= set(known)
    assert not (folder / "s.zarr").exists()
    assert len(brief(study_of(folder))) == 5


def test_all_problems_are_found_at_once(folder):
    (folder / "T/img3.png").write_bytes(b"")
    (folder / "T/img5.png").write_bytes((folder / "T/img4.png").read_bytes())
    (folder / "scores.csv").write_text("image,mem\n" + "".join(f"z{i},0.{i}\n" for i in range(1, 9)))
    changes = {"model": {"weights": "none.h5"}, "distinctiveness": {"neighbours": 50}}
    table = study_of(folder, **changes).check()
    problems = dict(table[table["state"] == "problem"][["subject", "finding"]].to_numpy())
    assert {"files", "pairs", "network", "sizes"} <= set(problems)
    assert "img3.png: is empty" in problems["files"]
    assert "nothing in common" in problems["pairs"]
    assert "there is no such file" in problems["network"]
    assert "`neighbours` is 50" in problems["sizes"]
    same = table[table["subject"] == "duplicates"]["finding"].item()
    assert same == "1 set of identical files: targets/img4 = targets/img5"


def test_the_command_ends_with_2_where_a_run_would(folder, capsys):
    yaml = (
        "store: s.zarr\nimages: {targets: T}\nmodel: {weights: random}\nlayers: [block1_pool]\n"
        "scores: {file: scores.csv, image: image, columns: [mem]}\n"
    )
    (folder / "study.yaml").write_text(yaml)

    def check():
        try:
            main(["check", str(folder / "study.yaml")])
            return 0, capsys.readouterr().out
        except SystemExit as end:
            return int(end.code or 0), capsys.readouterr().out

    code, out = check()
    assert code == 0, out
    (folder / "T/img3.png").write_bytes(b"")
    code, out = check()
    assert code == 2
    assert "problem" in out
    assert "img3.png" in out


def test_what_was_left_out_is_one_section_and_empty_in_a_clean_study(folder):
    clean = study_of(folder)
    clean.run()
    assert left_out(clean.stored, clean.layers) == []
    page = (folder / "r.html").read_text()
    assert 'id="left-out"' not in page
    assert "Scores were matched to images by number in the name, such as" in page

    (folder / "T/img3.png").write_bytes(b"")
    (folder / "scores.csv").write_text((folder / "scores.csv").read_text() + "99,0.5,x\n100,0.1,x\n")
    other = study_of(folder, store="t.zarr", report="t.html")
    other.run()
    texts = {notice.text: notice.warning for notice in left_out(other.stored, other.layers)}
    assert texts["1 of 12 image files could not be used and was skipped."] is False
    assert texts["3 rows of scores name no target: 3, 99, 100."] is True
    section = (folder / "t.html").read_text().split('id="left-out"')[1].split("</section>")[0]
    assert "<strong>Warning:</strong> 3 rows of scores name no target" in section


def test_the_engine_is_named_where_the_study_says_anything_of_it(folder, monkeypatch):
    def network(**model):
        table = study_of(folder, model={"weights": "random", "batch-size": 4, **model}).check()
        assert set(table["state"]) == {"ok"}
        return dict(zip(table["subject"], table["finding"], strict=True))["network"]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    assert network().startswith("random, preprocessing")
    assert network(engine="keras").startswith("random in Keras, preprocessing")
    assert network(engine="auto").startswith("random in ONNX Runtime, preprocessing")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    assert network(engine="auto").startswith("random in Keras, preprocessing")


def test_the_plan_names_the_engine(folder, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(engines, "find_spec", lambda name: name)
    study = study_of(folder, model={"weights": "random", "engine": "auto"})
    text = plan_text(study, study.plan(gflops_per_core=50.0))
    assert "\nengine: ONNX Runtime\n" in text
    plain = study_of(folder)
    assert "\nengine:" not in plan_text(plain, plain.plan(gflops_per_core=50.0))
