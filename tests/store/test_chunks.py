from hypothesis import given
from hypothesis import strategies as st

from distspc import layers, messages, tasks
from distspc.store import chunks, schema


@given(st.integers(0, 500), st.integers(1, 60))
def test_ranges_cover_everything_once(n, size):
    covered = [i for start, stop in tasks.ranges(n, size) for i in range(start, stop)]
    assert covered == list(range(n))


def test_convolutional_layers_split_into_even_chunks():
    for layer in layers.LAYERS.values():
        chunk = chunks.activation_chunks(10_264, layer.n_features)["feature"]
        assert layer.n_features % chunk == 0
        assert layer.n_features == {"fc1": 4096, "fc2": 4096}.get(layer.name, layer.n_features)


def test_the_seven_layers_have_the_features_of_the_paper():
    assert sum(layer.n_features for layer in layers.LAYERS.values()) == 1_538_560


def test_every_variable_has_a_line_of_prose():
    for rows in schema.GROUPS.values():
        assert all(row.long_name and row.dims for row in rows.values())


def test_sizes_in_words():
    assert [messages.format_nbytes(n) for n in (5, 2048, 3 * 2**20, 2**31)] == ["5 B", "2.0 KiB", "3.0 MiB", "2.0 GiB"]
