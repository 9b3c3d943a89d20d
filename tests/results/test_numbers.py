"""Tests of: numbers as the field prints them."""

import numpy as np
import pytest

from distspc.results import numbers
from tests.report.shared import plain


@pytest.mark.parametrize(
    ("value", "text"), [(0.357, ".36"), (-0.04, "−.04"), (-0.001, ".00"), (1.0, "1.00"), (np.nan, "unknown")]
)
def test_correlations_as_text(value, text):
    assert numbers.format_r(value) == text


@pytest.mark.parametrize(
    ("p", "n_bootstrap", "text"),
    [
        (0.0, 1000, "p < .002"),
        (0.0, None, "p < .001"),
        (0.004, 1000, "p = .004"),
        (0.62, 1000, "p = .62"),
        (np.nan, 9, "p unknown"),
    ],
)
def test_p_values_as_text_never_claim_more_than_the_bootstrap_knows(p, n_bootstrap, text):
    assert plain(numbers.p_text(p, n_bootstrap=n_bootstrap)) == text


@pytest.mark.parametrize(
    ("share", "text"),
    [(0.999999, "99.9 %"), (1, "100 %"), (0.5, "50 %"), (0.031, "3.1 %"), (-0.2, "−20 %"), (0.996, "99.6 %")],
)
def test_shares_as_text(share, text):
    assert plain(numbers.percent(share)) == text


@pytest.mark.parametrize(
    ("value", "text"), [(11538.7, "11,539"), (0.0234567, "0.02346"), (-3.0, "−3"), (2e12, "2e+12"), (np.nan, "")]
)
def test_amounts_as_text(value, text):
    assert numbers.format_quantity(value) == text
