"""Errors by who has to act: they travel between processes and say what differs."""

import pickle

from distspc import errors
from distspc.errors import BadImageError, DistspcError, InputError, StoreMismatchError


def test_every_error_of_the_package_is_one_of_its_own():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and kind.__module__ == errors.__name__]
    assert len(kinds) > 4
    assert all(issubclass(kind, DistspcError) for kind in kinds)


def test_errors_travel_between_processes():
    for error in (InputError("no"), BadImageError("is cut short", "a.jpg")):
        other = pickle.loads(pickle.dumps(error))
        assert type(other) is type(error)
        assert str(other) == str(error)


def test_a_store_of_other_settings_says_what_differs_and_the_ways_out():
    error = StoreMismatchError.of_settings("s.zarr", "distances", "metric was 'cosine', now 'euclidean'")
    assert error.difference == "made with other settings: metric was 'cosine', now 'euclidean'"
    assert "s.zarr" in str(error)
    assert "--redo" in str(error)
    assert isinstance(error, InputError)
