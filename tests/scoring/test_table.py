"""Percentiles."""

import numpy as np

from distspc.scoring.table import percentiles


def test_percentiles_count_equal_values_half():
    known = np.array([3.0, 1.0, 2.0, 2.0])
    assert percentiles(np.array([0.0, 1.0, 2.0, 9.0]), known).tolist() == [0, 12.5, 50, 100]
    assert np.isnan(percentiles(np.array([np.nan]), known)).all()
