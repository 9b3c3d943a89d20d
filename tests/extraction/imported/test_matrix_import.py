"""Tests of: activations that somebody already has as matrices, taken over into the store by name."""

import contextlib

import dask
import h5py
import numpy as np
import pandas as pd
import pytest

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.imported.matrices import MatrixSource
from distspc.extraction.imported.matrix_import import import_matrices
from distspc.images.listing import ImageSource
from distspc.pipeline.run import Study
from distspc.store.notices import stored_notices
from distspc.store.store import Store
from distspc.testing.stores import relu_activations

N_TARGETS, N_FILLERS, N_FEATURES = 70, 9, 24
FILES = [*(f"set/t{i + 1}.jpg" for i in range(N_TARGETS)), *(f"more/f{i + 1}.jpg" for i in range(N_FILLERS))]
ROLES = ["target"] * N_TARGETS + ["filler"] * N_FILLERS


@pytest.fixture
def features():
    """A row for every image, and for two that the study does not have."""
    return relu_activations(len(FILES) + 2, N_FEATURES).astype(np.float32)


@pytest.fixture
def order():
    return np.random.default_rng(3).permutation(len(FILES) + 2)


def names(order):
    return [[*FILES, "set/x.jpg", "set/y.jpg"][i] for i in order]


def sources():
    ids = [f"targets/t{i + 1}" for i in range(N_TARGETS)] + [f"fillers/f{i + 1}" for i in range(N_FILLERS)]
    numbers = [*range(1, N_TARGETS + 1), *range(1, N_FILLERS + 1)]
    rows = zip(ids, ROLES, numbers, FILES, strict=True)
    return [ImageSource(image, role, number, f"/nowhere/{file}") for image, role, number, file in rows]


def write(tmp_path, values, order, name="features.npy"):
    np.save(tmp_path / name, values[order])
    (tmp_path / "file_names.txt").write_text("\n".join(names(order)))
    return {"fc2": MatrixSource(str(tmp_path / name))}


def run(tmp_path, matrices):
    tasks = import_matrices(tmp_path / "s.zarr", images=sources(), matrices=matrices)
    return dask.compute(*tasks, scheduler="synchronous")


def test_rows_go_to_their_images_once(tmp_path, features, order):
    matrices = write(tmp_path, features, order)
    assert sum(run(tmp_path, matrices)) == len(FILES)
    store = Store(tmp_path / "s.zarr")
    np.testing.assert_array_equal(store.layer("fc2").read("activation"), features[: len(FILES)])
    assert store.layer("fc2").attributes["shape"] == [N_FEATURES]
    assert store.images.read("file").tolist() == [f"/nowhere/{file}" for file in FILES]
    assert run(tmp_path, matrices) == ()
    (notice,) = stored_notices([store.layer("fc2")])
    assert "features.npy (fc2): 2 of 81 rows are of no image of the study" in notice.text
    assert "set/x.jpg" in notice.text


def test_any_change_of_a_file_is_refused_and_a_touched_one_read_again(tmp_path, features, order):
    matrices = write(tmp_path, features, order)
    run(tmp_path, matrices)
    (tmp_path / "features.npy").touch()
    assert run(tmp_path, matrices) == ()
    for row in range(len(FILES)):
        if row % 13 == 5:
            changed = features.copy()
            changed[row, 3] += 1
            write(tmp_path, changed, order)
            with pytest.raises(StoreMismatchError, match="file was"):
                run(tmp_path, matrices)


def test_a_lost_chunk_alone_is_made_again(tmp_path, features, order):
    matrices = write(tmp_path, features, order)
    whole = run(tmp_path, matrices)
    chunks = (tmp_path / "s.zarr/activations/fc2/activation/c").rglob("*")
    next(path for path in chunks if path.is_file()).unlink()
    assert len(whole) > 1
    assert len(run(tmp_path, matrices)) == 1


@pytest.mark.parametrize(
    ("change", "storage"), [(np.float16, "float16"), (np.float64, "float32"), (np.uint8, "float32")]
)
def test_types_are_stored_as_float32_but_for_float16(tmp_path, features, order, change, storage):
    run(tmp_path, write(tmp_path, features.astype(change), order))
    stored = Store(tmp_path / "s.zarr").layer("fc2").read("activation")
    assert stored.dtype == storage
    np.testing.assert_array_equal(stored, features[: len(FILES)].astype(change).astype(storage))


@pytest.mark.parametrize("bad", [np.nan, np.inf, 1e300])
def test_numbers_that_are_not_finite_name_their_row(tmp_path, features, order, bad):
    features = features.astype(np.float64)
    features[68, 3] = bad
    with pytest.raises(InputError, match=r"features\.npy': row 'set/t69\.jpg' of fc2 holds NaN, infinity or numbers"):
        run(tmp_path, write(tmp_path, features, order))


def test_other_features_and_other_images_are_noticed(tmp_path, features, order):
    run(tmp_path, write(tmp_path, features, order))
    with pytest.raises(StoreMismatchError, match="rows"):
        run(tmp_path, write(tmp_path, features * 2, order))
    with pytest.raises(StoreMismatchError, match="listed:"):
        import_matrices(tmp_path / "s.zarr", images=sources()[1:], matrices=write(tmp_path, features, order))


def test_an_image_without_a_row_ends_before_anything_is_written(tmp_path, features, order):
    short = order[order != 4]
    with pytest.raises(InputError, match=r"1 of 79 images has no row: /nowhere/set/t5\.jpg"):
        run(tmp_path, write(tmp_path, features, short))
    assert not (tmp_path / "s.zarr").exists()


# ---------------------------------------------------------------- studies

REST = """\
images: {table: images.csv}
scores: {file: images.csv, image: path, columns: [hit]}
reconstruction: {units: 12, codewords: 4, batches: 2, batch-size: 6}
relate: {bootstrap: 10}
"""


def write_table(tmp_path):
    hits = np.random.default_rng(0).random(len(FILES))
    pd.DataFrame({"path": FILES, "role": ROLES, "hit": hits}).to_csv(tmp_path / "images.csv", index=False)


def write_thingsvision(tmp_path, values, order):
    for layer, factor in (("fc6", 1), ("fc7", 2)):
        (tmp_path / layer).mkdir()
        write(tmp_path / layer, values * factor, order)
    return "activations: {layers: {fc6: fc6/features.npy, fc7: {file: fc7/features.npy}}}"


def write_net2brain(tmp_path, values, order):
    for layer, factor in (("fc6", 1), ("fc7", 2)):
        rows = {
            name.split("/")[-1].split(".")[0]: row[None] * factor
            for name, row in zip(names(order), values[order], strict=True)
        }
        np.savez_compressed(tmp_path / f"{layer}.npz", **rows)
    return "activations: {layers: {fc6: fc6.npz, fc7: fc7.npz}}"


def write_one_hdf5(tmp_path, values, order):
    with h5py.File(tmp_path / "all.h5", "w") as file:
        file["fc6"], file["fc7"], file["who"] = values[order], values[order] * 2, names(order)
    return "activations: {file: all.h5, names: who}\nlayers: [fc6, fc7]"


def write_frames(tmp_path, values, order):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame(values[order], index=names(order)).rename(columns=str)
    frame.to_parquet(tmp_path / "fc6.parquet")
    (frame * 2).to_csv(tmp_path / "fc7.csv", float_format="%.9g")
    return "activations: {layers: {fc6: fc6.parquet, fc7: fc7.csv}}"


@pytest.mark.parametrize("write_study", [write_thingsvision, write_net2brain, write_one_hdf5, write_frames])
def test_a_study_of_features_that_others_made_goes_to_the_end(tmp_path, features, order, write_study):
    write_table(tmp_path)
    activations = write_study(tmp_path, features, order)
    (tmp_path / "study.yaml").write_text(f"store: s.zarr\n{activations}\n{REST}")
    study = Study.from_file(tmp_path / "study.yaml")
    results = study.run(None)
    targets, pool = features[:N_TARGETS].astype(np.float64), features[: len(FILES)].astype(np.float64)
    apart = np.linalg.norm(targets[:, None] - pool[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    found = results["distances"]["distance"].sel(layer="fc6").values[:, 0]
    np.testing.assert_allclose(found, apart.min(axis=1), rtol=1e-6)
    twice = results["distances"]["distance"].sel(layer="fc7").values[:, 0]
    np.testing.assert_allclose(twice, 2 * found, rtol=1e-6)
    assert results["relations"].sizes["relation"] > 0
    assert "set/t1.jpg" in str(Store(tmp_path / "s.zarr").images.read("file")[0])
    assert (tmp_path / "report.html").exists()


def test_status_and_check_know_such_a_study(tmp_path, features, order, capsys):
    from distspc.cli.main import main

    write_table(tmp_path)
    write(tmp_path, features, order)
    (tmp_path / "study.yaml").write_text(f"store: s.zarr\nactivations: features.npy\nlayers: [fc2]\n{REST}")
    for command in ("check", "status", "plan"):
        with contextlib.suppress(SystemExit):
            main([command, str(tmp_path / "study.yaml")])
    said = capsys.readouterr().out
    assert "activations of 70 targets and 9 fillers" in said
    assert "fc2" in said
    assert "problem" not in said
