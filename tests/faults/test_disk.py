"""Disks that fill up or are read-only: a sentence, an exit code, and nothing lost."""

import contextlib
import functools
import http.server
import os
import re
import shutil
import subprocess
import threading

import pytest

from distspc.errors import DistspcError, InputError
from distspc.extraction.files import weights
from distspc.io.files import digest_of

pytestmark = pytest.mark.faults


def mount_or_skip(command):
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small disk")
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {made.stderr.strip()}")


@pytest.fixture
def read_only():
    """Give a function that makes a folder read-only, for root too; what is mounted in it stays as it is."""
    mounted = []

    def make(folder):
        mount_or_skip(["mount", "--rbind", str(folder), str(folder)])
        mounted.append(folder)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)

    yield make
    for folder in mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def full(tmp_path):
    """A folder whose disk is full."""
    folder = tmp_path / "full"
    folder.mkdir()
    mount_or_skip(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)])
    fill(folder / "filler", room=0)
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def disk(study):
    """Give a function that mounts or remounts a small disk in memory as the folder of the study's store."""
    place = study.store.parent
    options = "size=400k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    mount_or_skip(command)

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
    line = told(ended)
    assert re.match(rf"error: cannot write to the store {study.store}: no space left on the disk", line)
    assert re.search(r"KiB free of 400\.0 KiB; the store takes up to .* MiB, before compression\)", line)
    assert "Traceback" not in ended.err  # of a worker neither
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


def test_the_folder_of_the_page_is_read_only(study, disk, read_only):
    """The results are there; a page that goes elsewhere is all that is left to do."""
    disk("size=50m")
    read_only(study.folder)
    ended = study.run()
    assert ended.code == 2
    line = told(ended)
    assert line.startswith(f"error: cannot write the report {study.folder / 'report.html'} (Read-only file system")
    assert line.endswith("make the place writable, or name another file as `report:`; the results stay")
    ended = study("status")
    assert ended.code == 0, ended.err


def test_the_page_finds_no_space(study, full, whole):
    shutil.copytree(whole.store, study.store)
    study.file.write_text(study.file.read_text().replace("report.html", str(full / "report.html")))
    ended = study.run()
    assert ended.code == 1
    assert re.match(rf"error: cannot write the report {full}/report.html: no space left on the disk", told(ended))


@pytest.mark.parametrize("kind", ["read-only", "full"])
def test_a_home_that_takes_no_caches(study, read_only, full, monkeypatch, kind):
    home = full
    if kind == "read-only":
        home = study.folder / "home"
        home.mkdir()
        read_only(home)
    for name in ("XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    ended = study.run()
    assert ended.code == 0, ended.err
    assert (study.folder / "report.html").exists()


def test_another_output_that_cannot_be_written(study, whole, full, read_only, command, tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir()
    read_only(closed)
    ended = command("export", whole.file, closed / "exported")
    assert ended.code == 2
    assert "(Read-only file system: " in told(ended)
    ended = command("export", whole.file, full / "exported")
    assert ended.code == 1
    assert "no space left on the disk" in told(ended)


def test_weights_that_cannot_be_kept(full, read_only, tmp_path, monkeypatch):
    """The cache is read-only or full; published weights that are in it can be used all the same."""
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "there.h5").write_bytes(b"weights")
    read_only(closed)
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(http.server.SimpleHTTPRequestHandler, directory=closed)
    )
    threading.Thread(target=server.serve_forever).start()
    address = f"http://127.0.0.1:{server.server_port}"
    known = {"there": (f"{address}/there.h5", None), "gone": (f"{address}/./there.h5?x=/gone.h5", None)}
    monkeypatch.setattr(weights, "DOWNLOADS", known)
    try:
        monkeypatch.setenv("DISTSPC_CACHE", str(closed))
        assert weights.fetch_weights("there") == (closed / "there.h5", digest_of(b"weights"))
        with pytest.raises(
            InputError, match=r"cannot write the weights to .* \(Read-only .*set DISTSPC_CACHE to another"
        ):
            weights.fetch_weights("gone")
        monkeypatch.setenv("DISTSPC_CACHE", str(full))
        with pytest.raises(DistspcError, match=r"cannot write the weights to .*no space left .*set DISTSPC_CACHE to"):
            weights.fetch_weights("gone")
    finally:
        server.shutdown()
        server.server_close()
