"""The data sets: each says whom to cite and where its files come from; unknown names get near misses."""

import pytest

from distspc.datasets.catalogue import DATASETS, find_dataset
from distspc.errors import InputError


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=list(DATASETS))
def test_every_data_set_names_its_source(dataset):
    assert dataset.citation
    assert dataset.home.startswith(("https://", "http://"))
    assert dataset.by_hand or dataset.downloads
    assert all(len(item.digest) == 64 for item in dataset.downloads)
    assert all(item.url.startswith("https://") for item in dataset.downloads)


def test_an_unknown_name_lists_the_known():
    assert find_dataset("isola") is DATASETS["isola"]
    with pytest.raises(InputError, match="isola, memcat, lamem, things"):
        find_dataset("isolla")
