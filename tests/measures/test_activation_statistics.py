"""Statistics of activations: as their sources write them, at the corners, and chunk by chunk as at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import entropy

from distspc.measures.activation_statistics import MEASURE
from tests.measures.shared import computed

NAMES = [column.name for column in MEASURE.columns]


def of(values):
    return dict(zip(NAMES, MEASURE.of_image(np.asarray(values, np.float32)), strict=True))


def literal(a):
    """As the definitions say it, number by number."""
    n = len(a)
    l1, l2 = math.fsum(abs(x) for x in a), math.sqrt(math.fsum(x * x for x in a))
    total = math.fsum(a)
    known = {
        "activation_mean": total / n,
        "activation_max": max(a),
        "activation_l1": l1,
        "active_share": sum(x > 0 for x in a) / n,
        "treves_rolls": (l1 / n) ** 2 / (l2**2 / n) if l2 else math.nan,
        "hoyer": (math.sqrt(n) - l1 / l2) / (math.sqrt(n) - 1) if l2 and n > 1 else math.nan,
    }
    shares = [x / total for x in a] if min(a) >= 0 and total else None
    known["activation_entropy"] = -math.fsum(p * math.log(p) for p in shares if p) if shares else math.nan
    return known


FINITE = st.floats(-1e6, 1e6, width=32).map(lambda x: x if abs(x) > 1e-6 else 0.0)


@settings(max_examples=60, deadline=None)
@given(arrays(np.float32, st.integers(1, 40), elements=FINITE))
def test_they_are_what_their_definitions_say(a):
    found, wanted = of(a), literal(a.astype(float).tolist())
    for name in NAMES:
        assert found[name] == pytest.approx(wanted[name], rel=1e-9, abs=1e-9, nan_ok=True), name


def test_corners():
    one, alike, silent, negative = of([0, 0, 3, 0]), of([2, 2, 2, 2]), of([0, 0, 0]), of([-1, 2])
    assert [one[n] for n in ("active_share", "treves_rolls", "hoyer", "activation_entropy")] == [0.25, 0.25, 1, 0]
    assert [alike[n] for n in ("active_share", "treves_rolls", "hoyer")] == [1, 1, 0]
    assert alike["activation_entropy"] == pytest.approx(math.log(4))
    assert [silent[n] for n in ("activation_mean", "activation_l1", "active_share")] == [0, 0, 0]
    assert all(math.isnan(silent[n]) for n in ("treves_rolls", "hoyer", "activation_entropy"))
    assert math.isnan(negative["activation_entropy"])
    assert negative["activation_l1"] == 3
    a = np.random.default_rng(0).gamma(1, size=50).astype(np.float32)
    assert of(a)["activation_entropy"] == pytest.approx(entropy(a.astype(float)), rel=1e-12)


def test_the_stage_gives_every_image_the_same_numbers_whatever_the_chunks(tmp_path):
    chunks = {"image": 4, "feature": 7}
    made = {"n_targets": 5, "n_fillers": 6, "layers": {"fc2": 30}, "chunks": chunks}
    found, values = computed(tmp_path / "s.zarr", "activation-statistics", **made)
    for i, row in enumerate(values):
        wanted = of(row)
        assert all(found[name][i] == wanted[name] for name in NAMES)
    assert len(found["hoyer"]) == 11


@pytest.mark.parametrize("n", [2, 3, 7, 100, 4096])
def test_rounding_leaves_the_ends_of_the_scales(n):
    """Of units that respond alike, and of one that responds alone, whatever its activation."""
    for value in np.random.default_rng(0).uniform(1e-3, 1e3, 60):
        alike, alone = of(np.full(n, value)), of(value * (np.arange(n) == 1))
        assert 0 <= alike["hoyer"] < 1e-12
        assert 1 - 1e-12 < alike["treves_rolls"] <= 1
        assert 1 - 1e-12 < alone["hoyer"] <= 1
        assert 1 / n <= alone["treves_rolls"] * (1 + 1e-15)
        assert str(alone["activation_entropy"]) == "0.0"  # not -0.0, in tables
