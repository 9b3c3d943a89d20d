"""Disks that fill up or are read-only: a sentence, an exit code, and nothing lost."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest

pytestmark = pytest.mark.faults


@pytest.fixture
def disk(study):
    """Give a function that mounts or remounts a small disk in memory as the folder of the study's store."""
    place = study.store.parent
    options = "size=400k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")

    def remount(options):
        subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)

    yield remount
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def told(ended):
    """The one line of an error."""
    lines = [line for line in ended.err.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1, ended.err
    assert "--verbose" not in lines[0]
    return lines[0]


def test_a_disk_that_fills_up_while_activations_are_written(study, disk, reference):
    ended = study.run_on_a_process()
    assert ended.code == 1
    assert re.match(rf"error: cannot write to the store {study.store}: no space left on the disk", told(ended))
    kept = study.digests()
    assert any(name.startswith("activations/") for name in kept)
    assert kept.items() <= reference.items()
    assert study.left_over() == []
    disk("size=50m")
    assert study.run().code == 0
    assert study.digests() == reference
    assert study.left_over() == []


def fill(file, *, room):
    """Fill a disk up to some bytes."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(65_536))
    os.truncate(file, max(0, file.stat().st_size - room))


def test_a_disk_that_is_full_later(study, disk, whole, command):
    """While the results are written; room is made by removing another's file."""
    disk("size=8m")
    assert command("extract", study.file).code == 0
    before = study.digests()
    filler = study.store.parent / "filler"
    fill(filler, room=40_000)
    ended = command("run", study.file)
    assert ended.code == 1
    assert "no space left on the disk" in told(ended)
    assert before.items() <= study.digests().items() <= whole.digests().items()
    filler.unlink()
    ended = command("run", study.file)
    assert ended.code == 0, ended.err
    assert study.digests() == whole.digests()
    assert study.left_over() == []


def test_read_only_media(study, disk, whole, command, tmp_path):
    disk("size=8m")
    assert command("extract", study.file).code == 0
    disk("ro")
    begun = study.digests()
    ended = command("run", study.file)
    assert ended.code == 2
    assert re.search(rf"error: the store {study.store} lacks requested results, and cannot be written", told(ended))
    assert "distances: " not in ended.err  # refused before any work was given out
    assert command("status", study.file).code == 0
    assert study.digests() == begun
    disk("rw")
    assert command("run", study.file).code == 0
    disk("ro")
    for arguments, words in {
        ("run", study.file): "Nothing to do",
        ("status", study.file): "done",
        ("export", study.file, tmp_path / "exported"): "results.csv",
        ("verify", study.file): "0 damaged chunks",
    }.items():
        ended = command(*arguments)
        assert ended.code == 0, ended.err
        assert words in ended.out
    ended = command("run", study.file, "--redo")
    assert ended.code == 2
    assert "cannot be written" in told(ended)
    assert study.digests() == whole.digests()
    assert study.left_over() == []
