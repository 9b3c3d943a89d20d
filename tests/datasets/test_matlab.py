"""Tests of: the image sets of Isola et al. (2011) from their MATLAB files to folders of numbered image files."""

import io

import h5py
import numpy as np
import PIL.Image
import pytest
import scipy.io
import skimage.data

from distspc.datasets import matlab
from distspc.errors import InputError


@pytest.fixture(scope="module")
def scenes():
    """Patches of a photograph in MATLAB's order: (row, column, channel, image)."""
    photograph = skimage.data.coffee()
    return np.stack([photograph[i : i + 32, 3 * i : 3 * i + 32] for i in range(0, 70, 10)], axis=3)


def write_v5(path, images, name="img", **options):
    scipy.io.savemat(path, {name: images}, do_compression=True, **options)
    return path


def write_v73(path, images, name="img", chunks=(3, 3, 32, 32)):
    """A file as MATLAB 7.3 writes it: HDF5 behind a user block of 512 bytes, axes reversed, chunked, deflated."""
    with h5py.File(path, "w", userblock_size=512) as file:
        file.create_dataset(name, data=images.transpose(), chunks=chunks, compression="gzip")
    with open(path, "r+b") as stream:
        stream.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM")
    return path


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_png_keeps_every_pixel_and_targets_stop_where_told(tmp_path, scenes, write):
    targets, fillers = write(tmp_path / "t.mat", scenes), write(tmp_path / "f.mat", scenes[..., ::-1])
    seen = []
    counts = matlab.convert(
        targets, fillers, tmp_path / "out", format="png", n_targets=5, progress=lambda *a: seen.append(a)
    )
    assert counts == (5, 7)
    assert sorted(p.name for p in (tmp_path / "out" / "Targets").iterdir()) == [f"{i}.png" for i in range(1, 6)]
    for folder, images, n in (("Targets", scenes, 5), ("Fillers", scenes[..., ::-1], 7)):
        for i in range(n):
            found = np.asarray(PIL.Image.open(tmp_path / "out" / folder / f"{i + 1}.png"))
            np.testing.assert_array_equal(found, images[..., i])
    assert seen[0] == ("Targets", 1, 5)
    assert seen[-1] == ("Fillers", 7, 7)


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_jpeg_is_quality_75_with_half_resolution_colour(tmp_path, scenes, write):
    matlab.convert(write(tmp_path / "t.mat", scenes), None, tmp_path, n_targets=7)
    for i in range(7):
        stream = io.BytesIO()
        PIL.Image.fromarray(np.ascontiguousarray(scenes[..., i])).save(stream, "JPEG", quality=75, subsampling=2)
        assert (tmp_path / "Targets" / f"{i + 1}.jpg").read_bytes() == stream.getvalue()


def test_chunks_of_one_file_may_hold_any_number_of_images(tmp_path, scenes):
    file = write_v73(tmp_path / "t.mat", scenes, chunks=(7, 1, 8, 32))
    with h5py.File(file) as content:
        images = list(matlab.stream_v73(content["img"], file, max_read_nbytes=2 * 32 * 32 * 3))
    np.testing.assert_array_equal(np.stack(images, axis=3), scenes)


def test_a_broken_off_conversion_is_done_again_over_its_own_files(tmp_path, scenes):
    file = write_v5(tmp_path / "t.mat", scenes)
    (tmp_path / "Targets").mkdir()
    (tmp_path / "Targets" / "1.jpg").write_bytes(b"half")
    matlab.convert(file, None, tmp_path, n_targets=7)
    with PIL.Image.open(tmp_path / "Targets" / "1.jpg") as image:
        assert image.size == (32, 32)
    assert len(list((tmp_path / "Targets").iterdir())) == 7


@pytest.mark.parametrize("other", ["8.jpg", "1.png", "notes.txt"])
def test_a_folder_with_other_images_is_refused(tmp_path, scenes, other):
    (tmp_path / "Targets").mkdir()
    (tmp_path / "Targets" / other).write_bytes(b"x")
    with pytest.raises(InputError, match=f"holds '{other}' already: name a new folder"):
        matlab.convert(write_v5(tmp_path / "t.mat", scenes), None, tmp_path, n_targets=7)


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_another_variable_is_named(tmp_path, scenes, write):
    with pytest.raises(InputError, match="has no variable 'img'; it has pictures"):
        matlab.convert(write(tmp_path / "t.mat", scenes, name="pictures"), None, tmp_path)


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_another_type_or_shape_is_named(tmp_path, scenes, write):
    with pytest.raises(InputError, match=r"'img' is float64 of shape \(32, 32, 3, 7\), expected uint8 or logical"):
        matlab.convert(write(tmp_path / "t.mat", scenes.astype(float)), None, tmp_path)
    with pytest.raises(InputError, match=r"of shape \(32, 3, 32, 7\), expected uint8 or logical \(row, col"):
        matlab.convert(write(tmp_path / "u.mat", scenes.transpose(0, 2, 1, 3), **_chunks(write)), None, tmp_path)


def _chunks(write):
    return {"chunks": None} if write is write_v73 else {}


@pytest.mark.parametrize("write", [write_v5, write_v73])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_truncated_files_are_named(tmp_path, write, share):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3, 20)).astype(np.uint8)
    file = write(tmp_path / "t.mat", noise)
    data = file.read_bytes()
    file.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(InputError, match=r"MATLAB file '.*t\.mat'.* damaged"):
        matlab.convert(file, None, tmp_path, n_targets=20)


def test_what_is_no_matlab_file_or_not_there_or_too_short_is_named(tmp_path, scenes):
    (tmp_path / "x.mat").write_bytes(b"hello" * 100)
    with pytest.raises(InputError, match="damaged or no MATLAB file"):
        matlab.convert(tmp_path / "x.mat", None, tmp_path)
    with pytest.raises(InputError, match="there is no such file"):
        matlab.convert(tmp_path / "y.mat", None, tmp_path)
    with pytest.raises(InputError, match="holds 7 images, expected at least 2222"):
        matlab.convert(write_v5(tmp_path / "t.mat", scenes), None, tmp_path)


def test_settings_are_checked(tmp_path):
    with pytest.raises(InputError, match="format 'bmp' is not one of jpeg, png"):
        matlab.convert("t.mat", None, tmp_path, format="bmp")
    with pytest.raises(InputError, match="number of targets 0 is not at least 1"):
        matlab.convert("t.mat", None, tmp_path, n_targets=0)


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_a_logical_array_gives_black_and_white(tmp_path, scenes, write):
    masks = scenes > 100
    if write is write_v5:
        file = write(tmp_path / "t.mat", masks)
    else:  # MATLAB keeps logical as bytes with the class beside
        file = write(tmp_path / "t.mat", masks.astype(np.uint8))
        with h5py.File(file, "r+") as stream:
            stream["img"].attrs["MATLAB_class"] = np.bytes_(b"logical")
    matlab.convert(file, None, tmp_path, format="png", n_targets=7)
    for i in range(7):
        found = np.asarray(PIL.Image.open(tmp_path / "Targets" / f"{i + 1}.png"))
        np.testing.assert_array_equal(found, 255 * masks[..., i].astype(np.uint8))


@pytest.mark.parametrize("write", [write_v5, write_v73])
def test_bytes_of_0_and_1_are_refused_and_a_black_image_among_others_is_not(tmp_path, scenes, write):
    with pytest.raises(InputError, match=r"values 0 and 1 only, expected 0 to 255; .* uint8\(img\) \* 255"):
        matlab.convert(write(tmp_path / "t.mat", (scenes > 100).astype(np.uint8)), None, tmp_path, n_targets=7)
    mixed = scenes.copy()
    mixed[..., 0] = 0
    assert matlab.convert(write(tmp_path / "u.mat", mixed), None, tmp_path, n_targets=7) == (7, 0)


@pytest.mark.parametrize("write", [write_v5, write_v73])
@pytest.mark.parametrize(
    ("dtype", "factor", "said"),
    [
        ("float64", 1 / 255, r"is float64 .* values from 0.* to .*: save it as img = im2uint8\(img\)"),
        ("float32", 1 / 255, r"is float32 .*: save it as img = im2uint8\(img\)"),
        ("float32", 1, r"is float32 .*: save it as img = uint8\(img\)"),
        ("int16", 1, r"is int16 .*: save it as img = uint8\(img\)"),
        ("int16", 100, r"is int16 .*: save it as uint8, scaled to 0 to 255"),
    ],
)
def test_other_numbers_are_refused_with_their_range_and_the_way_out(tmp_path, scenes, write, dtype, factor, said):
    with pytest.raises(InputError, match=said):
        matlab.convert(write(tmp_path / "t.mat", (scenes * float(factor)).astype(dtype)), None, tmp_path, n_targets=7)


def test_a_struct_is_named_with_its_fields(tmp_path, scenes):
    scipy.io.savemat(tmp_path / "v5.mat", {"img": {"data": scenes, "names": "x"}})
    with h5py.File(tmp_path / "v73.mat", "w") as file:
        group = file.create_group("img")
        group.attrs["MATLAB_class"] = np.bytes_(b"struct")
        group["data"], group["names"] = scenes.transpose(), [1.0]
    for name in ("v5.mat", "v73.mat"):
        with pytest.raises(InputError, match=r"'img' is a struct with the fields data, names, .*: img = img\.FIELD$"):
            matlab.convert(tmp_path / name, None, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_cell_array_is_named(tmp_path, scenes):
    cells = np.empty((1, 2), object)
    cells[0, :] = [scenes[..., 0], scenes[..., 1]]
    scipy.io.savemat(tmp_path / "t.mat", {"img": cells})
    with pytest.raises(InputError, match=r"'img' is a cell, .*: img = cat\(4, img\{:\}\)$"):
        matlab.convert(tmp_path / "t.mat", None, tmp_path)
