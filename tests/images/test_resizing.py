"""Tests of `distspc.images.resizing`."""

import numpy as np
import PIL.Image
import pytest

from distspc.errors import BadImageError
from distspc.images.resizing import Resize, resize_image

CROP = Resize("crop", "bicubic", antialias=True)


def bilinear(rgb, size):
    """Bilinear resize written out in the fixed-point arithmetic that the paper's tool uses for bytes (11 bits)."""

    def weights(n_in, n_out):
        centre = ((np.arange(n_out) + 0.5) * np.float64(np.float64(n_in) / n_out) - 0.5).astype(np.float32)
        low = np.floor(centre).astype(int)
        part = centre - low.astype(np.float32)
        part[low < 0] = 0
        part[low >= n_in - 1] = 0
        low = np.clip(low, 0, n_in - 1)
        high = np.minimum(low + 1, n_in - 1)
        w_high = np.rint(part * 2048).astype(np.int64)
        return low, high, np.rint((1 - part) * np.float32(2048)).astype(np.int64), w_high

    y0, y1, a0, a1 = weights(rgb.shape[0], size[0])
    x0, x1, b0, b1 = weights(rgb.shape[1], size[1])
    wide = rgb.astype(np.int64)
    rows = wide[:, x0] * b0[None, :, None] + wide[:, x1] * b1[None, :, None]
    total = rows[y0] * a0[:, None, None] + rows[y1] * a1[:, None, None]
    return (total + (1 << 21)) >> 22


@pytest.mark.parametrize("shape", [(256, 256), (300, 200), (100, 512), (224, 224)])
def test_resizing_is_bilinear_without_antialiasing_to_within_one_grey_level(shape):
    values = np.random.default_rng(1).integers(0, 256, (*shape, 3)).astype(np.uint8)
    found = resize_image(values)
    assert found.shape == (224, 224, 3)
    assert found.dtype == np.uint8
    assert np.abs(found.astype(int) - bilinear(values, (224, 224))).max() <= 1


def test_a_crop_is_the_centre_of_the_image_with_its_shortest_side_resized():
    values = np.random.default_rng(1).integers(0, 256, (300, 500, 3)).astype(np.uint8)
    found = resize_image(values, (224, 224), CROP)
    whole = np.asarray(PIL.Image.fromarray(values).resize((373, 224), PIL.Image.Resampling.BICUBIC))  # 224 * 500 / 300
    np.testing.assert_array_equal(found, whole[:, 74:298])  # round(149 / 2)
    tall = np.ascontiguousarray(values.transpose(1, 0, 2))
    whole = np.asarray(PIL.Image.fromarray(tall).resize((224, 373), PIL.Image.Resampling.BICUBIC))
    np.testing.assert_array_equal(resize_image(tall, (224, 224), CROP), whole[74:298])


def test_a_crop_keeps_its_share_of_the_resized_side():
    values = np.random.default_rng(1).integers(0, 256, (256, 256, 3)).astype(np.uint8)
    found = resize_image(values, (224, 224), Resize("crop", "bicubic", antialias=True, crop_share=0.875))
    np.testing.assert_array_equal(found, values[16:240, 16:240])


def test_stretching_with_a_share_cuts_out_the_centre():
    values = np.random.default_rng(1).integers(0, 256, (80, 160, 3)).astype(np.uint8)
    found = resize_image(values, (20, 20), Resize("stretch", "bilinear", antialias=True, crop_share=0.5))
    whole = np.asarray(PIL.Image.fromarray(values).resize((40, 40), PIL.Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(found, whole[10:30, 10:30])


@pytest.mark.parametrize("antialias", [False, True])
def test_antialiasing_averages_where_an_image_is_made_smaller(antialias):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    found = resize_image(stripes, (64, 64), Resize("stretch", "bilinear", antialias=antialias))
    assert (np.ptp(found[4:-4, 4:-4]) < 10) == antialias or not antialias
    assert (abs(found[4:-4, 4:-4].mean() - 127.5) < 1) or not antialias


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("antialias", [False, True])
def test_one_colour_stays_one_colour(interpolation, antialias):
    flat = np.full((50, 70, 3), (7, 200, 90), np.uint8)
    for rule in ("stretch", "crop"):
        found = resize_image(flat, (32, 48), Resize(rule, interpolation, antialias))
        assert found.shape == (32, 48, 3)
        assert np.unique(found.reshape(-1, 3), axis=0).tolist() == [[7, 200, 90]]


def test_an_image_that_a_crop_would_make_too_large_is_refused():
    with pytest.raises(
        BadImageError, match=r"is 400000 x 1; with its shortest side resized to 224 it would have 20,070,400,000 pixels"
    ):
        resize_image(np.zeros((1, 400_000, 3), np.uint8), (224, 224), CROP)
