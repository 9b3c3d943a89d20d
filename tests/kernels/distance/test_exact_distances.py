"""Distances against whole fractions and decimals of 60 digits, on small sets that are hard for floating point."""

from __future__ import annotations

from decimal import Decimal, localcontext
from fractions import Fraction

import numpy as np
import pytest

from distspc.kernels.distance.products import pair_distances

UNIT = 2.0**-53


def decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def exact_distance(x: np.ndarray, y: np.ndarray, metric: str) -> Decimal:
    """Distance of two rows by its definition: sums are whole fractions, roots have 60 digits."""
    a, b = ([Fraction(float(value)) for value in row] for row in (x, y))
    if metric == "correlation":
        a, b = ([value - sum(row) / len(row) for value in row] for row in (a, b))
    with localcontext(prec=60):
        if metric == "euclidean":
            return decimal(sum((p - q) ** 2 for p, q in zip(a, b, strict=True))).sqrt()
        dot, squares = (sum(p * q for p, q in zip(a, b, strict=True)), [sum(p * p for p in row) for row in (a, b)])
        return 1 - decimal(dot) / decimal(squares[0] * squares[1]).sqrt()


def adversarial(kind: str) -> np.ndarray:
    rng = np.random.default_rng(1)
    noise = rng.standard_normal((5, 9))
    values = {
        "near-duplicates": 1e4 * noise[:1] + np.arange(5)[:, None] * np.spacing(np.float32(1e4)) * np.sign(noise),
        "one unit in the last place": np.nextafter(np.float32(noise[:1]), np.float32(np.arange(-2, 3)[:, None] * 9)),
        "almost parallel": (1 + np.arange(5)[:, None]) * noise[:1] + 1e-7 * noise,
        "opposite": np.where(np.arange(5)[:, None] % 2, -1, 1) * (1 + 1e-6 * noise),
        "far from the origin": 1e6 + noise,
        "near the largest float32": 1e37 * noise,
        "subnormal": 1e-43 * rng.integers(-9, 9, (5, 9)),
        "of many sizes": noise * 10.0 ** rng.integers(-18, 18, (5, 9)),
        "ties": rng.integers(0, 2, (5, 9)) + np.eye(5, 9),
    }[kind]
    return np.ascontiguousarray(values, np.float32)


KINDS = (
    "near-duplicates",
    "one unit in the last place",
    "almost parallel",
    "opposite",
    "far from the origin",
    "near the largest float32",
    "subnormal",
    "of many sizes",
    "ties",
)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("kind", KINDS)
def test_distances_are_those_of_exact_arithmetic(kind: str, metric: str, record_property) -> None:
    x = adversarial(kind)
    rows, cols = np.triu_indices(len(x), 1)
    found = pair_distances(x, x, rows, cols, metric=metric)
    true = np.array([exact_distance(x[i], x[j], metric) for i, j in zip(rows, cols, strict=True)])
    if metric == "euclidean":
        off = np.array([float(abs(Decimal(float(f)) - t) / (t or 1)) for f, t in zip(found, true, strict=True)])
        record_property("rounding units", off.max() / UNIT)
        assert off.max() <= 8 * UNIT
        return
    # Rows are scaled to length 1, which leaves some rounding units of 1 in each entry: of the root of the distance.
    # Taking the mean away leaves as many of the row's own length.
    y = x.astype(np.float64)
    deviation = y - (y.mean(axis=1, keepdims=True) if metric == "correlation" else 0)
    longer = float((np.linalg.norm(y, axis=1) / np.linalg.norm(deviation, axis=1)).max())
    off = np.array([abs(float(Decimal(float(f)).sqrt() - t.sqrt())) for f, t in zip(found, true, strict=True)])
    record_property("rounding units", off.max() / (UNIT * longer))
    assert off.max() <= 8 * UNIT * longer


@pytest.mark.parametrize("kind", KINDS)
def test_the_nearest_is_that_of_exact_arithmetic(kind: str) -> None:
    x = adversarial(kind)
    for i in range(len(x)):
        others = np.array([j for j in range(len(x)) if j != i])
        found = pair_distances(x, x, np.full(len(others), i), others, metric="euclidean")
        true = [exact_distance(x[i], x[j], "euclidean") for j in others]
        assert int(np.argmin(found)) == true.index(min(true))


def test_block_sums_are_added_without_rounding() -> None:
    """A first block of 2**54 and 136 others of 1: added up one by one, none of these would count."""
    x = np.zeros((1, 137 * 512), np.float32)
    x[0, 512::512] = 1
    x[0, 0] = 2.0**27
    first = np.array([0])
    found = pair_distances(x, np.zeros_like(x), first, first, metric="euclidean")[0]
    assert found == float(exact_root(2**54 + 136))
    other = np.zeros_like(x)
    other[0, 1] = 1
    # Orthogonal: the distance is 1, but for the rounding of a length that is off by 136 / 2**55 if they do not count.
    assert pair_distances(x, other, first, first, metric="cosine")[0] == pytest.approx(1, abs=4 * UNIT)


def exact_root(square: int) -> Decimal:
    with localcontext(prec=60):
        return Decimal(square).sqrt()


def test_images_whose_blocks_are_swapped_are_as_far_away() -> None:
    """A tie is one however the blocks of a row follow each other, so that the first in order is the neighbour."""
    rng = np.random.default_rng(0)
    blocks = (rng.standard_normal((40, 512)) * 10.0 ** rng.integers(-3, 3, (40, 1))).astype(np.float32)
    y = np.array([blocks[rng.permutation(40)].ravel() for _ in range(20)])
    x, first = np.zeros((1, y.shape[1]), np.float32), np.zeros(20, int)
    found = pair_distances(x, y, first, np.arange(20), metric="euclidean")
    assert len(set(found.tolist())) == 1
