"""Sums over rows and digests."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest

from distspc.kernels.distance.rows import BLOCK, RowStatistics, _digest_keys, block_dots, row_statistics


def noise(n: int, n_features: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, n_features), dtype=np.float32)


def test_statistics_of_feature_tiles_add_up() -> None:
    x = noise(7, 1000)
    centre = x.mean(axis=0)
    whole = row_statistics(x, centre=centre)
    cut = row_statistics(x[:, :512].copy(), centre=centre[:512]) + row_statistics(
        x[:, 512:].copy(), centre=centre[512:], first_feature=512
    )
    assert cut.n_features == 1000
    for name in ("sum", "norm_sq", "centred_norm_sq", "dot_centre", "centre_norm_sq"):
        np.testing.assert_allclose(getattr(cut, name), getattr(whole, name), rtol=1e-12)
    np.testing.assert_allclose(whole.norm_sq, (x.astype(float) ** 2).sum(axis=1), rtol=1e-14)


@pytest.mark.parametrize("n_features", [1536, 1700, 7680])
def test_squared_norms_of_tiles_are_those_of_whole_rows_to_the_last_bit(n_features: int) -> None:
    x = noise(20, n_features)
    starts = range(0, n_features, 512)
    parts = [x[:, a : a + 512].copy() for a in starts]
    tiles = [row_statistics(part, first_feature=a, keep_blocks=True) for a, part in zip(starts, parts, strict=True)]
    added = reduce(RowStatistics.__add__, tiles)
    whole = row_statistics(x)
    np.testing.assert_array_equal(added.joined_norm_sq, whole.norm_sq)
    np.testing.assert_array_equal(RowStatistics.joined([added[:2], added[2:]]).joined_norm_sq, whole.joined_norm_sq)


@pytest.mark.parametrize("n_features", [1, 8, 9, 700])
@pytest.mark.parametrize("seed", range(5))
def test_digests_tell_rows_apart(n_features: int, seed: int) -> None:
    # Of the 24 bits of a value only the first 11 are in use.
    x = np.repeat(noise(1, n_features, seed).astype(np.float16).astype(np.float32), n_features + 2, axis=0)
    x[np.arange(n_features), np.arange(n_features)] += (
        1  # each of the first rows differs from the last two in one entry
    )
    digests = row_statistics(x).digest
    assert digests[-1] == digests[-2]
    assert len(np.unique(digests)) == n_features + 1


def test_feature_tiles_have_digests_of_their_own_that_add_up() -> None:
    x = noise(1, 512)
    first, second = row_statistics(x), row_statistics(x, first_feature=512)
    assert first.digest != second.digest
    assert (first + second).digest == first.digest + second.digest


def test_negative_zero_is_zero() -> None:
    x = np.array([[0.0, 1, 2], [-0.0, 1, 2]], dtype=np.float32)
    digests = row_statistics(x).digest
    assert digests[0] == digests[1]


@pytest.mark.parametrize("n_threads", [1, 2])
def test_rows_that_are_not_finite_show_in_the_sums(n_threads: int) -> None:
    x = np.ones((4, 600), dtype=np.float32)
    x[1, 5], x[2, 7], x[3, [8, 9]] = np.nan, -np.inf, [np.inf, -np.inf]
    found = row_statistics(x, n_threads=n_threads).norm_sq  # and no warning, in no thread
    assert np.isfinite(found).tolist() == [True, False, False, False]


def test_statistics_of_some_rows_are_those_rows_of_the_statistics() -> None:
    x = noise(7, 600)
    whole = row_statistics(x)
    joined = RowStatistics.joined([whole[:3], whole[3:]])
    for name in ("sum", "norm_sq", "centred_norm_sq", "dot_centre", "digest"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name))
        np.testing.assert_array_equal(getattr(whole[2:4], name), getattr(whole, name)[2:4])


@pytest.mark.parametrize("n_features", [3, 512, 1300])
def test_dots_of_blocks_add_up_to_the_dot(n_features: int) -> None:
    a, b = (noise(4, n_features, seed).astype(float) for seed in (1, 2))
    blocks = block_dots(a, b)
    assert blocks.shape == (4, n_features // BLOCK + 1)
    np.testing.assert_allclose(blocks.sum(axis=1), np.vecdot(a, b), rtol=1e-10)


@pytest.mark.parametrize("kind", ["first of two", "second of two", "odd one out"])
def test_digests_of_values_with_few_bits_differ_in_their_low_bits(kind: str) -> None:
    """Powers of two have no bit below the 23rd: unmixed, their digests have 41 bits, and collide among a million."""
    x = np.ones((8, 3 if kind == "odd one out" else 4), np.float32)
    x[:, {"first of two": 0, "second of two": 1, "odd one out": 2}[kind]] = 2.0 ** np.arange(8)
    digests = row_statistics(x).digest
    differing = int(np.bitwise_or.reduce(digests ^ digests[0]))
    assert differing & -differing < 2**8


def test_keys_of_digests_are_odd_so_that_no_difference_of_one_word_is_lost() -> None:
    assert (_digest_keys(2000, 0) % 2 == 1).all()
