"""Which layers are in the store at the same time: few rounds, none above the disk that is allowed."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distspc.errors import InputError
from distspc.layers import LAYERS
from distspc.pipeline.needs.rounds import activation_peak, group_layers, keeps_all, kept_layers, study_rounds
from distspc.study.file import StudyFile

N = 10_264
CLASSIC = {name: layer.nbytes * N for name, layer in LAYERS.items()}


def study_of(**model):
    return StudyFile.from_dict({"store": "s.zarr", "images": {"targets": "T"}, "model": model})


def test_the_classic_study_needs_its_images_twice():
    study = study_of(keep=["fc2"])
    assert not keeps_all(study)
    assert kept_layers(study) == {"fc2"}
    rounds = study_rounds(study, N)
    assert rounds == [("block1_pool",), tuple(LAYERS)[1:]]
    assert activation_peak(study, rounds, N) == CLASSIC["block1_pool"]


def test_all_layers_are_one_round_where_all_stay():
    study = study_of()
    assert keeps_all(study)
    assert keeps_all(study_of(keep=list(LAYERS)))
    assert study_rounds(study, N) == [tuple(LAYERS)]
    assert activation_peak(study, [tuple(LAYERS)], N) == sum(CLASSIC.values())


def test_the_disk_decides_how_many_rounds_there_are():
    assert len(study_rounds(study_of(keep=[], disk="70 GB"), N)) == 1
    assert len(study_rounds(study_of(keep=[], disk="40 GB"), N)) == 2
    half = study_of(keep=["fc2"], storage="float16", disk="17 GB")
    assert study_rounds(half, N) == [("block1_pool",), tuple(LAYERS)[1:]]
    assert activation_peak(half, study_rounds(half, N), N) < 17e9


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            {"keep": [], "disk": "15 GB"},
            r"`disk` is 14.0 GiB, and block1_pool alone takes 30.7 GiB .*`storage: float16`",
        ),
        ({"keep": ["block1_pool", "fc2"], "disk": "33 GB"}, r"the layers in `keep` take 30.9 GiB"),
    ],
)
def test_a_disk_that_no_order_of_the_layers_fits_is_refused(model, said):
    with pytest.raises(InputError, match=said):
        study_rounds(study_of(**model), N)


def peak(rounds, sizes, kept):
    held, most = 0, 0
    for layers in rounds:
        most = max(most, held + sum(sizes[layer] for layer in layers))
        held += sum(sizes[layer] for layer in layers if layer in kept)
    return most


@given(st.lists(st.integers(1, 20), min_size=1, max_size=7), st.data())
def test_every_layer_has_one_round_and_none_takes_more_than_there_is(sizes, data):
    sizes = {f"layer{i}": n for i, n in enumerate(sizes)}
    kept = data.draw(st.sets(st.sampled_from(list(sizes))))
    least = max([sum(sizes[layer] for layer in kept), *(n for layer, n in sizes.items() if layer not in kept)])
    room = data.draw(st.none() | st.integers(least, least + 30))
    rounds = group_layers(sizes, kept, room)
    assert sorted(itertools.chain(*rounds)) == sorted(sizes)
    assert all(list(layers) == sorted(layers) for layers in rounds)
    assert peak(rounds, sizes, kept) <= (least if room is None else room)
    assert all(layer in rounds[-1] for layer in kept)
    if room is not None and sum(sizes.values()) <= room:
        assert len(rounds) == 1


def test_layers_of_one_size_follow_one_another():
    sizes = {f"blocks.{i}": 10 for i in range(12)}
    rounds = group_layers(sizes, ["blocks.11"], 40)
    assert [len(layers) for layers in rounds] == [4, 4, 4]
    assert list(itertools.chain(*rounds)) == list(sizes)
