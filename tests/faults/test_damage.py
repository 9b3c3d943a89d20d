"""A damaged chunk of any variable is named, removed, and made again by the next run."""

import shutil

import numpy as np
import pytest

from distspc.store.group import Group
from distspc.store.store import Store


@pytest.fixture
def own(whole, tmp_path):
    """A copy of the finished study."""
    shutil.copytree(whole.folder, tmp_path, dirs_exist_ok=True)
    return whole.at(tmp_path)


def damage(chunk, *, cut):
    content = bytearray(chunk.read_bytes())
    content[len(content) // 2] ^= 4
    chunk.write_bytes(content[: len(content) // 2] if cut else content)


VARIABLES = {
    "images": ("image", "role"),
    "activations/fc2": ("image", "activation"),
    "distances": ("layer", "target", "norm", "n_rescored", "distance"),
    "reconstruction": ("layer", "seed", "image", "scale", "dictionary", "error"),
    "relations": ("measure", "r"),
    "scores": ("score", "value"),
}


@pytest.mark.faults
@pytest.mark.parametrize("group", VARIABLES)
def test_damage_to_any_variable_is_named_and_mended(own, whole, command, group):
    reference = whole.digests()
    for i, name in enumerate(VARIABLES[group]):
        chunk = max(path for path in (own.store / group / name / "c").rglob("*") if path.is_file())
        damage(chunk, cut=i % 2 == 1)
        ended = command("verify", own.file)
        assert (ended.code, ended.err) == (1, "")
        assert [line for line in ended.out.splitlines() if "removed" in line] == [f"damaged, removed: {chunk}"]
        ended = command("run", own.file)
        assert ended.code == 0, (name, ended.err)
        assert own.digests() == reference, name
        assert own.left_over() == []


@pytest.mark.faults
@pytest.mark.parametrize("lost", ["layer", "seed"])
def test_what_has_lost_its_label_is_not_taken_for_another(own, whole, command, lost):
    """The first label is gone, and the study names them in another order: no row may change its owner."""
    (own.store / "reconstruction" / lost / "c/0").unlink()
    text = own.file.read_text()
    own.file.write_text(text.replace("[fc2, block5_pool]", "[block5_pool, fc2]").replace("[0, 1]", "[1, 0]"))
    ended = command("reconstruct", own.file)
    assert ended.code == 0, ended.err
    ours, theirs = (by_label(study) for study in (own, whole))
    assert ours.keys() == theirs.keys()
    for at, values in ours.items():
        np.testing.assert_allclose(values, theirs[at], rtol=1e-10, err_msg=str(at))


def by_label(study):
    """Errors by layer and seed."""
    labels = [Store(study.store).reconstruction.labels(dim) for dim in ("layer", "seed")]
    errors = Store(study.store).reconstruction.read("error")
    return {(layer, seed): errors[i, j] for i, layer in enumerate(labels[0]) for j, seed in enumerate(labels[1])}


@pytest.mark.faults
@pytest.mark.parametrize("group", ["images", "distances", "reconstruction"])
def test_a_group_that_was_only_begun_does_not_stop_the_next_run(own, whole, command, group):
    """As a kill leaves it: rooms for labels and values, none of them written."""
    for chunks in (own.store / group).glob("*/c"):
        shutil.rmtree(chunks)
    ended = command("run", own.file)
    assert ended.code == 0, ended.err
    assert own.digests() == whole.digests()


@pytest.mark.faults
def test_a_removal_cut_short_leaves_nothing_that_passes_for_done(own, whole, command):
    (own.store / "distances/zarr.json").unlink()
    own.file.write_text(own.file.read_text() + "distinctiveness: {metric: cosine}\n")
    ended = command("distances", own.file)
    assert ended.code == 0, ended.err
    ours, theirs = (Store(study.store).distances.read("distance") for study in (own, whole))
    assert not np.isclose(ours, theirs).any()


@pytest.mark.faults
@pytest.mark.parametrize("group", ["models", "relations"])
def test_tables_cut_short_are_made_again(own, whole, command, monkeypatch, group):
    def write(own_group, *rest, **at):
        if own_group.name == group:
            raise KeyboardInterrupt
        return written(own_group, *rest, **at)

    shutil.rmtree(own.store / "relations")
    written = Group.write
    monkeypatch.setattr(Group, "write", write)
    assert command("relate", own.file).code != 0
    monkeypatch.setattr(Group, "write", written)
    ended = command("relate", own.file)
    assert ended.code == 0, ended.err
    assert own.digests() == whole.digests()
