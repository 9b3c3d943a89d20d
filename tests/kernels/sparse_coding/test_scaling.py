"""The quantile that scales, taken in parts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from distspc.kernels.sparse_coding import scaling


@settings(deadline=None)
@given(
    x=hnp.arrays(np.float32, st.integers(1, 200), elements=st.floats(-10, 10, width=32)),
    q=st.sampled_from([0.0, 0.5, 0.95, 1.0]),
    chunk=st.sampled_from([7, 64, 1000]),
)
def test_quantile_in_chunks_is_that_of_numpy(x, q, chunk):
    np.testing.assert_array_max_ulp(scaling.absolute_quantile(x, q, chunk=chunk), np.quantile(np.abs(x), q), 1)


def test_scale_is_the_quantile_of_all_entries_bit_by_bit(activations):
    assert scaling.scale_quantile(activations) == np.quantile(np.abs(activations), 0.95)


def test_nearly_all_zeros_cannot_be_scaled():
    x = np.zeros((100, 10), np.float32)
    x[:4] = 1
    with pytest.raises(scaling.ZeroQuantileError, match=r"percentile .* is 0 \(96.0% of them are zero\)"):
        scaling.scale_quantile(x)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_activations_that_are_not_finite_are_refused(bad):
    x = np.ones((4, 4), np.float32)
    x[1, 2] = bad
    with pytest.raises(scaling.NotFiniteError, match="NaN or infinity"):
        scaling.scale_quantile(x)
