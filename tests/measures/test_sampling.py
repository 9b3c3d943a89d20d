"""Features of all images in one matrix: all of a narrow layer, units of a wide one."""

import numpy as np

from distspc.measures.base import Size
from distspc.measures.sampling import gathering, joined, sampled_units


def test_all_features_of_a_narrow_layer_are_taken_and_units_of_a_wide_one_drawn():
    assert sampled_units(5, 5, 0).tolist() == [0, 1, 2, 3, 4]
    units = sampled_units(1000, 10, 3)
    assert units.tolist() == sorted(np.random.RandomState(3).choice(1000, 10, replace=False).tolist())


def test_one_pass_whatever_is_taken():
    for n_units in (100, 4096):
        work = gathering(Size(10_264, 802_816), n_units)
        assert work.moved_nbytes == 4 * 10_264 * 802_816
        assert work.task_nbytes < 2**30
    assert joined([np.zeros((2, 3)), np.ones((1, 3))]).shape == (3, 3)
