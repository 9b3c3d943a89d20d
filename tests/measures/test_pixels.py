"""Pixel baselines: as other code gives them, of images of any size."""

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data, feature
from skimage.color import rgb2gray

from distspc.errors import InputError
from distspc.io.files import digest_of
from distspc.measures import build
from distspc.measures.pixels import MEASURE, PixelOptions
from distspc.measures.registry import ChosenMeasure
from distspc.store.notices import stored_notices
from distspc.store.store import Store
from distspc.testing.stores import make_store
from tests.measures.shared import columns

NAMES = [column.name for column in MEASURE.columns]


def of(rgb, options=None):
    return dict(zip(NAMES, MEASURE.of_image(rgb, options), strict=True))


@pytest.fixture(scope="module")
def picture():
    return np.ascontiguousarray(data.astronaut()[:128, 40:240])


def test_edges_and_luminance_are_those_of_scikit_image(picture):
    found, grey = of(picture), rgb2gray(picture)
    assert found["edge_share"] == feature.canny(grey, sigma=1.0).mean()
    assert 0.02 < found["edge_share"] < 0.4
    assert found["luminance_contrast"] == pytest.approx(grey.std(), rel=1e-12)


def test_bytes_are_those_of_a_jpeg_of_quality_75(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "x.jpg", quality=75)
    assert of(picture)["jpeg_nbytes"] == (tmp_path / "x.jpg").stat().st_size


def test_colourfulness_is_that_of_its_authors(picture):
    r, g, b = (picture[..., i].astype(float) for i in range(3))
    rg, yb = r - g, 0.5 * (r + g) - b
    spread, mean = np.sqrt(rg.var() + yb.var()), np.sqrt(rg.mean() ** 2 + yb.mean() ** 2)
    assert of(picture)["colourfulness"] == pytest.approx(spread + 0.3 * mean, rel=1e-12)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert of(red)["colourfulness"] == pytest.approx(0.3 * np.hypot(200, 100))


def test_a_grey_field_has_neither_edges_nor_contrast_nor_colour():
    found = of(np.full((30, 20, 3), 77, np.uint8))
    assert [found[n] for n in ("edge_share", "luminance_contrast", "colourfulness")] == pytest.approx([0, 0, 0])
    assert of(np.zeros((1, 1, 3), np.uint8))["edge_share"] == 0


def test_with_a_size_all_images_are_stretched_to_it_first(picture):
    stretched = np.asarray(Image.fromarray(picture).resize((64, 64), Image.Resampling.BILINEAR))
    assert of(picture, PixelOptions(size=64)) == of(stretched)
    assert of(stretched, PixelOptions(size=64)) == of(stretched)


def with_files(path, folder, pictures):
    """A store whose images have files."""
    make_store(path, n_targets=len(pictures), n_fillers=0, layers={})
    files, digests = [], []
    for i, rgb in enumerate(pictures):
        buffer = io.BytesIO()
        Image.fromarray(rgb).save(buffer, "PNG")
        (folder / f"{i}.png").write_bytes(buffer.getvalue())
        files.append(str(folder / f"{i}.png"))
        digests.append(digest_of(buffer.getvalue()))
    Store(path).images.write("file", files)
    Store(path).images.write("digest", digests)


def test_the_stage_measures_the_files_as_decoded(tmp_path, picture):
    pictures = [picture[: 40 + 5 * i] for i in range(3)]
    with_files(tmp_path / "s.zarr", tmp_path, pictures)
    found = columns(tmp_path / "s.zarr", "pixels", layer="")
    store = Store(tmp_path / "s.zarr")
    build.note(store, ChosenMeasure.parse("pixels"), [])
    assert not stored_notices([store.measure("pixels")])
    store.images.write("width", np.array([200, 200, 100]))
    build.note(store, ChosenMeasure.parse("pixels"), [])
    (notice,) = stored_notices([store.measure("pixels")])
    assert notice.text.startswith("The images differ in size (100 x 256 to 200 x 256 pixels), and bytes and edges")
    store.images.write("width", np.array([-1, -1, -1]))  # activations that others made
    build.note(store, ChosenMeasure.parse("pixels"), [])
    (notice,) = stored_notices([store.measure("pixels")])
    assert "which is its own here: `{name: pixels, size: 256}`" in notice.text
    for i, rgb in enumerate(pictures):
        assert {name: found[name][i] for name in NAMES} == of(rgb)


def test_a_file_that_is_gone_is_named(tmp_path, picture):
    with_files(tmp_path / "s.zarr", tmp_path, [picture])
    (tmp_path / "0.png").unlink()
    with pytest.raises(InputError, match=r"0\.png"):
        columns(tmp_path / "s.zarr", "pixels", layer="")
