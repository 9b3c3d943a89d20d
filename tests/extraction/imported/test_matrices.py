"""Tests of: matrices of features that others made."""

import h5py
import numpy as np
import pandas as pd
import pytest
import zarr

from distspc.errors import InputError
from distspc.extraction.imported.matrices import MatrixSource, open_matrix

NAMES = ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg")
VALUES = np.arange(12, dtype=np.float32).reshape(3, 4) / 7


def write_npy(path):
    np.save(path / "features.npy", VALUES)
    (path / "file_names.txt").write_text("\n".join(NAMES) + "\n")
    return MatrixSource(str(path / "features.npy"))


def write_npz(path):
    np.savez(path / "m.npz", other=VALUES + 1, fc2=VALUES, file_names=np.array(NAMES))
    return MatrixSource(str(path / "m.npz"))


def write_compressed(path):
    np.savez_compressed(path / "m.npz", features=VALUES, who=np.array(NAMES))
    return MatrixSource(str(path / "m.npz"), array="features", names="who")


def write_entries(path):
    np.savez_compressed(path / "fc2.npz", **dict(zip(NAMES, VALUES[:, None], strict=True)))
    return MatrixSource(str(path / "fc2.npz"))


def write_hdf5(path):
    with h5py.File(path / "m.h5", "w") as file:
        file["group/fc2"] = VALUES.astype(np.float64)
        file.create_dataset("names", data=[name.encode() for name in NAMES])
    return MatrixSource(str(path / "m.h5"), array="group/fc2")


def write_csv(path):
    frame = pd.DataFrame(VALUES, index=list(NAMES))
    frame.to_csv(path / "m.csv")
    return MatrixSource(str(path / "m.csv"))


def write_semicolons(path):
    frame = pd.DataFrame(VALUES)
    frame.insert(2, "stimulus", NAMES)
    frame.to_csv(path / "m.csv", sep=";", decimal=",")
    return MatrixSource(str(path / "m.csv"), names="stimulus")


def write_tabs(path):
    pd.DataFrame(VALUES).assign(image=NAMES).to_csv(path / "m.tsv", sep="\t", index=False)
    return MatrixSource(str(path / "m.tsv"))


def write_parquet(path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(VALUES, index=list(NAMES)).rename(columns=str).to_parquet(path / "m.parquet")
    return MatrixSource(str(path / "m.parquet"))


def write_parquet_column(path):
    pytest.importorskip("pyarrow")
    pd.DataFrame(VALUES).assign(stimulus=NAMES).rename(columns=str).to_parquet(path / "m.parquet")
    return MatrixSource(str(path / "m.parquet"), names="stimulus")


def write_zarr(path):
    group = zarr.open_group(path / "m.zarr", mode="w")
    group.create_array("fc2", data=VALUES)
    np.save(path / "who.npy", np.array(NAMES))
    return MatrixSource(str(path / "m.zarr"), names="who.npy")


def write_zarr_array(path):
    zarr.create_array(path / "m.zarr", data=VALUES)
    (path / "file_names.txt").write_text("\r\n".join(NAMES))
    return MatrixSource(str(path / "m.zarr"))


WRITERS = [
    *(write_npy, write_npz, write_compressed, write_entries, write_hdf5, write_csv, write_semicolons, write_tabs),
    *(write_parquet, write_parquet_column, write_zarr, write_zarr_array),
]


@pytest.mark.parametrize("write", WRITERS)
def test_rows_of_every_format_are_read_in_any_order(tmp_path, write):
    matrix = open_matrix(write(tmp_path), "fc2")
    assert (matrix.names, matrix.shape, matrix.storage) == (NAMES, (4,), "float32")
    for positions in ([2, 0], [1], [0, 1, 2], [1, 1]):
        np.testing.assert_array_equal(matrix.rows(np.array(positions)), VALUES[positions])


@pytest.mark.parametrize("write", [write_npy, write_npz])
def test_arrays_stored_as_they_are_are_mapped_not_read(tmp_path, write):
    matrix = open_matrix(write(tmp_path), "fc2")
    assert any(isinstance(cell.cell_contents, np.memmap) for cell in matrix.rows.__closure__)


def test_arrays_in_columns_and_of_maps_are_mapped_too(tmp_path):
    values = np.asfortranarray(np.arange(24, dtype=np.float16).reshape(3, 2, 4))
    np.savez(tmp_path / "m.npz", fc2=values, names=np.array(NAMES))
    matrix = open_matrix(MatrixSource(str(tmp_path / "m.npz")), "fc2")
    assert (matrix.shape, matrix.storage) == ((2, 4), "float16")
    np.testing.assert_array_equal(matrix.rows(np.array([2, 1])), values[[2, 1]])


def test_numbers_are_names_too(tmp_path):
    pd.DataFrame(VALUES).assign(image=[3.0, 1.0, 2.0]).to_csv(tmp_path / "m.csv", index=False)
    assert open_matrix(MatrixSource(str(tmp_path / "m.csv")), "fc2").names == ("3.0", "1.0", "2.0")
    np.savez(tmp_path / "m.npz", fc2=VALUES, image=np.array([3.0, 1.0, 2.0]))
    assert open_matrix(MatrixSource(str(tmp_path / "m.npz")), "fc2").names == ("3", "1", "2")


def test_a_file_that_changes_is_opened_anew(tmp_path):
    source = write_npy(tmp_path)
    assert open_matrix(source, "fc2") is open_matrix(source, "fc2")
    np.save(tmp_path / "features.npy", np.hstack([VALUES, VALUES]))
    assert open_matrix(source, "fc2").shape == (8,)


def named(path, content):
    path.write_text(content)
    return str(path)


BAD = {
    "not there": (lambda p: MatrixSource(str(p / "none.npy")), r"none\.npy' does not exist"),
    "of another kind": (
        lambda p: MatrixSource(named(p / "m.mat", "x")),
        r"expected one of \.npy, .*, or a folder",
    ),
    "not what it says": (lambda p: MatrixSource(named(p / "m.h5", "x")), r"m\.h5' cannot be read as \.h5"),
    "a damaged archive": (lambda p: MatrixSource(named(p / "m.npz", "PK\3\4")), r"m\.npz' cannot be read as \.npz"),
    "a folder": (lambda p: MatrixSource(folder(p / "m.npz")), r"m\.npz' is a folder: expected a file of features"),
    "text called .npz": (lambda p: MatrixSource(named(p / "m.npz", "junk")), "it is no .npz file, or was cut off"),
    "an array called .npz": (lambda p: MatrixSource(misnamed(p)), "it is no .npz file, or was cut off"),
    "arrays of other layers": (lambda p: other_layers(p), "has no array 'fc2'; it has fc1, FC2, names"),
    "a thousands separator": (
        lambda p: MatrixSource(named(p / "m.csv", "image;a\n1.jpg;1.234,5\n")),
        r"'a', which does not hold numbers \('1\.234,5'\)",
    ),
    "no such array": (lambda p: replace(write_compressed(p), array="fc9"), "has no array 'fc9'; it has features, who"),
    "no array of the layer": (lambda p: two_arrays(p), "has no array 'fc2'; it has a, b"),
    "no names": (lambda p: without_names(p), "nothing names its rows: name as `names` a file with a name a line"),
    "no such names": (lambda p: replace(write_npy(p), names="who"), "'who' is neither a file nor in it"),
    "too few names": (lambda p: with_names(p, NAMES[:2]), "has 3 rows, but 2 names"),
    "a column of text": (lambda p: with_text(p), "has column 'species', which does not hold numbers"),
    "one row": (lambda p: vector(p), r"has shape \(3,\), expected \(images, features\)"),
    "objects": (lambda p: objects(p), r"cannot be read as \.npy|cannot be read as \.npz"),
    "complex numbers": (lambda p: complexes(p), "holds complex64, expected numbers"),
}


def folder(path):
    path.mkdir()
    return str(path)


def misnamed(path):
    np.save(path / "m.npy", VALUES)
    return str((path / "m.npy").rename(path / "m.npz"))


def other_layers(path):
    np.savez(path / "m.npz", fc1=VALUES, FC2=VALUES, names=np.array(NAMES))
    return MatrixSource(str(path / "m.npz"))


def replace(source, **changes):
    return MatrixSource(**{**vars(source), **changes})


def two_arrays(path):
    with h5py.File(path / "m.h5", "w") as file:
        file["a"] = file["b"] = VALUES
    return MatrixSource(str(path / "m.h5"), names="image")


def without_names(path):
    np.save(path / "features.npy", VALUES)
    return MatrixSource(str(path / "features.npy"))


def with_names(path, names):
    source = write_npy(path)
    (path / "file_names.txt").write_text("\n".join(names))
    return source


def with_text(path):
    pd.DataFrame(VALUES).assign(image=NAMES, species="cat").to_csv(path / "m.csv", index=False)
    return MatrixSource(str(path / "m.csv"))


def vector(path):
    source = write_npy(path)
    np.save(path / "features.npy", VALUES[:, 0])
    return source


def objects(path):
    np.savez(path / "m.npz", fc2=np.array([[{}], [{}]], object), image=np.array(["a", "b"]))
    return MatrixSource(str(path / "m.npz"))


def complexes(path):
    source = write_npy(path)
    np.save(path / "features.npy", VALUES.astype(np.complex64))
    return source


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_read_is_named(tmp_path, case):
    make, said = BAD[case]
    with pytest.raises(InputError, match=said):
        open_matrix(make(tmp_path), "fc2")


def test_semicolons_go_with_decimal_points_too(tmp_path):
    pd.DataFrame(VALUES).assign(image=NAMES).to_csv(tmp_path / "m.csv", sep=";", index=False)
    matrix = open_matrix(MatrixSource(str(tmp_path / "m.csv")), "fc2")
    assert np.array_equal(matrix.rows(np.arange(3)), VALUES)
