"""Activations (.npy), MATLAB files and scores that cannot be used are refused; code inside them never runs."""

import io
import os
import pickle
import re
import shutil
import subprocess
import sys

import h5py
import numpy as np
import pytest
import scipy.io


class Harm:
    """Makes a file where it is unpickled."""

    def __reduce__(self):
        return (os.mkdir, ("harmed",))


def npy(values, **options):
    stream = io.BytesIO()
    np.save(stream, values, **options)
    return stream.getvalue()


def archive(values):
    stream = io.BytesIO()
    np.savez(stream, values)
    return stream.getvalue()


def npy_header(shape, descr="'<f4'"):
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


GOOD = np.ones((1, 24), np.float32)
# What stands in Targets/4.npy, and the sentence.
ARRAYS = {
    "nothing in it": (b"", "is not a whole .npy file"),
    "text": (b"0.1, 0.2, 0.3\n", "is not a whole .npy file"),
    "truncated": (npy(GOOD)[:150], "is not a whole .npy file"),
    "a header alone": (npy_header((1, 24)), "is not a whole .npy file"),
    "a petabyte, it says": (npy_header((10**15, 24)) + b"\0" * 96, "is not a whole .npy file"),
    "a negative shape": (npy_header((-1, 24)) + b"\0" * 96, "is not a whole .npy file"),
    "code in its header": (npy_header("__import__('os').mkdir('harmed')"), "is not a whole .npy file"),
    "pickled objects": (
        npy(np.array([Harm()], dtype=object), allow_pickle=True),
        "is not a whole .npy file of numbers",
    ),
    "a bare pickle": (pickle.dumps(Harm()), "is not a whole .npy file of numbers"),
    "an archive": (archive(GOOD), "is not a whole .npy file"),
    "float64": (npy(GOOD.astype(np.float64)), "holds float64, expected float32 or float16"),
    "whole numbers": (npy(GOOD.astype(np.int32)), "holds int32, expected float32 or float16"),
    "complex numbers": (npy(GOOD.astype(np.complex64)), "holds complex64, expected float32 or float16"),
    "text in an array": (npy(np.array(["0.5"])), "holds <U3, expected float32 or float16"),
    "records": (npy(np.zeros(3, dtype=[("a", "f4")])), r"holds \[\('a', '<f4'\)\], expected float32"),
    "bytes the other way round": (npy(GOOD.astype(">f4")), "holds >f4, expected float32|float32"),
    "other precision": (npy(GOOD.astype(np.float16)), r"is float16 \(1, 24\), expected float32 \(1, 24\)"),
    "one number too many": (npy(np.ones((1, 25), np.float32)), r"is float32 \(1, 25\), expected float32 \(1, 24\)"),
    "two images": (npy(np.ones((2, 24), np.float32)), r"is float32 \(2, 24\), expected"),
    "a single number": (npy(np.float32(1)), r"is float32 \(\), expected"),
    "NaN": (npy(np.where(np.arange(24) == 7, np.nan, GOOD).astype(np.float32)), "holds NaN or infinity"),
    "infinity": (npy(np.full((1, 24), np.inf, np.float32)), "holds NaN or infinity"),
    "a folder": (lambda file: file.mkdir(), "is a folder"),
    "a pipe": (os.mkfifo, "is not a regular file"),
    "a device": (lambda file: file.symlink_to("/dev/zero"), "is not a regular file|is not a whole .npy file"),
    "a dangling link": (lambda file: file.symlink_to("nowhere"), "is not a whole .npy file .*No such file"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_a_bad_npy_file_is_refused_by_name(sources, refused, case):
    content, sentence = ARRAYS[case]
    file = sources / "Activations/fc2/Targets/4.npy"
    file.unlink()
    file.write_bytes(content) if isinstance(content, bytes) else content(file)
    refused(["run", "study.yaml"], rf"failed: activations of layer fc2: activation '.*Targets/4\.npy' ({sentence})")
    assert not (sources / "harmed").exists()


FOLDERS = {
    "a number is missing": (lambda f: (f / "Targets/3.npy").unlink(), r"3\.npy is missing \(of 7 files\)"),
    "numbers from zero": (
        lambda f: (f / "Targets/8.npy").rename(f / "Targets/0.npy"),
        r"Targets/0\.npy.* count from 1: rename or remove it",
    ),
    "a number written 08": (
        lambda f: (f / "Targets/8.npy").rename(f / "Targets/08.npy"),
        r"Targets/08\.npy.* count from 1: rename or remove it",
    ),
    "a copy beside": (
        lambda f: shutil.copy(f / "Targets/8.npy", f / "Targets/8 (1).npy"),
        r"8 \(1\)\.npy.* count from 1: rename or remove it",
    ),
    "no files": (lambda f: [file.unlink() for file in (f / "Targets").iterdir()], r"holds no files 1\.npy, 2\.npy"),
    "no targets": (lambda f: shutil.rmtree(f / "Targets"), "there is no folder '.*fc2/Targets'"),
    "no layer": (lambda f: f.rename(f.with_name("fc1")), "there is no folder '.*fc2/Targets'"),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_bad_folder_of_activations_is_refused(sources, refused, case):
    spoil, sentence = FOLDERS[case]
    spoil(sources / "Activations/fc2")
    refused(["run", "study.yaml"], f"error: activation.*{sentence}")


def test_a_mended_file_is_taken_by_the_next_run(sources, command):
    file = sources / "Activations/fc2/Targets/4.npy"
    whole = file.read_bytes()
    file.write_bytes(whole[:150])
    assert command("extract", "study.yaml").code == 2
    file.write_bytes(whole)
    assert command("extract", "study.yaml").code == 0


# ---------------------------------------------------------------- scores

ROWS = [f"{i + 1},{0.3 + i / 40}" for i in range(8)]


def table(*rows, header="im_ind,hit"):
    return "\n".join([header, *rows]) + "\n"


SCORES = {
    "nothing in it": ("", "is not a table: it is empty"),
    "a header alone": (table(), "has a header but no rows"),
    "no text": (b"PK\x03\x04\x14\x00\x06\x00\xff\xfe", "is not a table of comma-separated values in UTF-8"),
    "a quote left open": (table('1,"0.3', "2,0.4"), "is not a table|columns, but"),
    "a folder": (lambda file: file.mkdir(), "there is no such file|is a folder"),
    "a pipe": (os.mkfifo, "there is no such file|is not a regular file"),
    "a dangling link": (lambda file: file.symlink_to("nowhere"), "there is no such file"),
    "no column of scores": (table(*ROWS, header="im_ind,hits"), "has no column hit; did you mean .hits"),
    "no column of images": (table(*ROWS, header="picture,hit"), "has no column im_ind; it has picture, hit"),
    "a column twice": (table("1,0.3,0.4", header="im_ind,hit,hit"), "more than one column is called hit"),
    "ragged lines": (table("1,0.3", "2", "3,0.4,7"), "the header has 2 columns, but line 3 has 1, line 4 has 3"),
    "an image twice": (table(*ROWS, "3,0.9"), r"1 image occurs more than once: 3 \(in line 4, in line 10\)"),
    "an image twice, 3 and 3.0": (table(*ROWS, "3.0,0.9"), r"occurs more than once: 3 \(in line 4, in line 10\)"),
    "no name": (table(*ROWS, ",0.9"), "column im_ind: empty in line 10"),
    "a word for a number": (table("1,high", *ROWS[1:]), "column hit: not a number: 'high' in line 2. Leave unknown"),
    "a comma for a point": (table('1,"0,3"', '2,"0,4"'), "not a number: '0,3' in line 2.*where semicolons or tabs"),
    "infinity": (table("1,inf", *ROWS[1:]), "not a number: 'inf' in line 2"),
    "signs of percent": (table("1,30 %", "2,45 %"), "not a number: '30 %' in line 2.*without the sign"),
    "a marker of missing values": (table(*ROWS[:7], "8,-"), "column hit: not a number: '-' in line 9.*--missing '-'"),
    "a negative rate": (table("1,-0.1", *ROWS[1:]), r"column hit: outside \[0, 1\]: -0.1 in line 2"),
    "other images": (
        table("a.jpg,0.3", "b.jpg,0.4"),
        "nothing in common: column 'im_ind' holds a.jpg, b.jpg; the images",
    ),
    "numbers of others": (
        table("101,0.3", "102,0.4"),
        "nothing in common: .* holds 101, 102; the images are number 1, 2",
    ),
    "no score at all": (
        table(*(f"{i + 1}," for i in range(8))),
        "hit: only 0 of 8 images have all values; at least 4 are needed",
    ),
    "a single score": (table("1,0.5"), "hit: only 1 of 8 images has all values; at least 4 are needed"),
    "the same score always": (
        table(*(f"{i + 1},0.5" for i in range(8))),
        r"constant columns have no correlation \(hit is 0.5 for all, 8 images\): leave them out",
    ),
}


@pytest.mark.parametrize("case", SCORES)
def test_bad_scores_are_refused_and_the_measures_stay(measured, refused, case):
    content, sentence = SCORES[case]
    file = measured / "scores.csv"
    file.unlink()
    if callable(content):
        content(file)
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(["relate", "study.yaml"], f"error: .*{sentence}")


PAIRS = {
    "no such column": ("image,size\n1,2\n", table(*ROWS), "im_ind", r"m\.csv has no column im_ind; it has image, size"),
    "no image in both": ("im_ind,size\n99,2\n", table(*ROWS), "im_ind", "no image is in both tables: .*99.*1, 2, 3"),
    "no numbers": ("im_ind,size\n1,big\n", table(*ROWS), "im_ind", "has no column of numbers beside im_ind"),
    "an image twice": ("im_ind,size\n1,2\n1,3\n", table(*ROWS), "im_ind", "occurs more than once: 1"),
    "a column named wrongly": ("im_ind,size\n1,2\n", table(*ROWS), "im_ind=file", r"scores.csv has no column file"),
}


@pytest.mark.parametrize("case", PAIRS)
def test_bad_pairs_of_tables_are_refused(tmp_path, refused, case):
    measures, scores, by, sentence = PAIRS[case]
    (tmp_path / "m.csv").write_text(measures)
    (tmp_path / "scores.csv").write_text(scores)
    options = ["--measures", "m.csv", "--scores", "scores.csv", "--by", by, "--output", "o.csv"]
    refused(["relate", *options], f"error: .*{sentence}")


# ---------------------------------------------------------------- MATLAB files

IMAGES = np.random.default_rng(0).integers(0, 256, (8, 9, 3, 5)).astype(np.uint8)


def v5(name="img", values=IMAGES):
    def write(file):
        scipy.io.savemat(file, {name: values}, do_compression=True)

    return write


def v73(name="img", values=IMAGES):
    def write(file):
        with h5py.File(file, "w", userblock_size=512) as stream:
            stream.create_dataset(name, data=values.transpose(), chunks=values.shape[::-1], compression="gzip")
        with open(file, "r+b") as stream:
            stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")

    return write


def cut(write, share):
    def shorten(file):
        write(file)
        file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])

    return shorten


def grouped(file):
    with h5py.File(file, "w") as stream:
        stream.create_group("img")


MATLAB = {
    "not there": (lambda file: None, "there is no such file"),
    "nothing in it": (lambda file: file.write_bytes(b""), "is damaged or no MATLAB file"),
    "text": (lambda file: file.write_text("img = 3;\n"), "is damaged or no MATLAB file"),
    "a folder": (lambda file: file.mkdir(), "there is no such file|is a folder"),
    "a pipe": (os.mkfifo, "there is no such file|is not a regular file"),
    "truncated": (cut(v5(), 0.6), "is damaged or no MATLAB file"),
    "truncated in its header": (cut(v5(), 0.05), "is damaged or no MATLAB file"),
    "7.3, truncated": (cut(v73(), 0.9), "is damaged"),
    "another variable": (v5("images"), "has no variable 'img'; it has images"),
    "7.3, another variable": (v73("images"), "has no variable 'img'; it has images"),
    "7.3, a struct": (grouped, "'img' is a struct, expected an array"),
    "numbers with a point": (v5(values=IMAGES / 255), "'img' is float64 of shape .* expected uint8 or logical"),
    "grey": (
        v5(values=IMAGES[:, :, 0]),
        r"'img' is uint8 of shape \(8, 9, 5, 1\), expected uint8 or logical \(row, column, 3",
    ),
    "cells": (v5(values=np.array([[1, 2], "three"], dtype=object)), "'img' is a cell, expected an array"),
    "text in img": (v5(values="hello"), "'img' is <U5 of shape"),
    "no images": (v5(values=IMAGES[..., :0]), "'img' is uint8 of shape|has no variable"),
    "too few images": (v5(), "holds 5 images, expected at least 2222"),
}


@pytest.mark.parametrize("case", MATLAB)
def test_a_bad_matlab_file_is_refused(tmp_path, refused, case):
    write, sentence = MATLAB[case]
    write(tmp_path / "targets.mat")
    v5()(tmp_path / "fillers.mat")
    number = [] if case == "too few images" else ["--n-targets", "2"]
    refused(
        ["convert", "targets.mat", "fillers.mat", "made/Images", *number],
        rf"error: MATLAB file '.*targets\.mat'.*{sentence}",
    )
    assert not list(tmp_path.rglob("*.jpg"))


@pytest.mark.parametrize("write", [v5("images"), cut(v73(), 0.9), lambda file: None])
def test_bad_fillers_are_refused_by_name(tmp_path, refused, write):
    v5()(tmp_path / "targets.mat")
    write(tmp_path / "fillers.mat")
    refused(
        ["convert", "targets.mat", "fillers.mat", "made/I", "--n-targets", "2"], r"error: MATLAB file '.*fillers\.mat'"
    )


def test_other_pictures_in_the_folder_stay(tmp_path, refused):
    v5()(tmp_path / "m.mat")
    (tmp_path / "made/Targets").mkdir(parents=True)
    (tmp_path / "made/Targets/holiday.jpg").write_bytes(b"mine")
    refused(["convert", "m.mat", "m.mat", "made", "--n-targets", "2"], "holds 'holiday.jpg' already: name a new folder")


@pytest.mark.parametrize("place", ["taken", "taken/below"])
def test_a_file_where_the_folder_should_be_stays(tmp_path, refused, place):
    v5()(tmp_path / "m.mat")
    (tmp_path / "taken").write_text("mine")
    refused(
        ["convert", "m.mat", "m.mat", place, "--n-targets", "2"],
        "error: .*taken.* is a file already: name a new folder",
    )


def test_a_worker_process_shows_no_traceback_either(sources):
    file = sources / "Activations/fc2/Targets/4.npy"
    np.save(file, np.full((1, 24), np.nan, np.float32))
    command = [sys.executable, "-m", "distspc", "run", "study.yaml", "--set", "workers=1"]
    done = subprocess.run(command, cwd=sources, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert re.search(
        r"^failed: activations of layer fc2: activation '.*4\.npy' holds NaN or infinity", done.stderr, re.MULTILINE
    )
    # Of the task, that is: a worker that is closed on a busy machine may log a lost heartbeat of its own.
    assert "Compute Failed" not in done.stderr
    assert not re.search(r'File ".*distspc/', done.stderr)
