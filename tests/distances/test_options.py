import inspect
from dataclasses import asdict

from distspc.distances.build import nearest_distances
from distspc.distances.options import PROTOCOLS, DistanceOptions


def test_defaults_of_the_function_are_those_of_the_options():
    taken = inspect.signature(nearest_distances).parameters
    assert {name: taken[name].default for name in asdict(DistanceOptions())} == asdict(DistanceOptions())


def test_only_the_papers_protocol_counts_exact_duplicates():
    assert [DistanceOptions(protocol=name).drop_zero for name in PROTOCOLS] == [False, True, True]
