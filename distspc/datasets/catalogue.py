"""Image sets whose memorability was measured: what they are called, where they come from, how their tables are read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from distspc.datasets.published_tables import read_isola, read_lamem, read_memcat, read_things
from distspc.errors import InputError

log = logging.getLogger(__name__)

_SPC_PUBLIC = "https://github.com/Qi-Lin7/SPC_public/raw/2893fd1/"


class Download(NamedTuple):
    """A file that is fetched: its name, address and SHA-256."""

    name: str
    url: str
    digest: str


@dataclass(frozen=True)
class Dataset:
    """An image set.

    Attributes
    ----------
    name, title, citation, home
        What it is called, whom to cite, its page.
    by_hand
        What must be downloaded by hand, from where to where; no digest of it is published.
    downloads
        Files that `fetch` gets, with their digests.
    scores
        Score columns of its table, the main one first.
    read
        Reads its tables from a folder: one row per image, columns ``path`` (as the table has it), ``category``, scores.
    """

    name: str
    title: str
    citation: str
    home: str
    by_hand: tuple[str, ...]
    scores: tuple[str, ...]
    read: Callable[[Path], pd.DataFrame]
    downloads: tuple[Download, ...] = ()


# ---------------------------------------------------------------- what there is

DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        Dataset(
            name="isola",
            title="2,222 scenes with hit and false-alarm rates, and 8,042 fillers (the paper's)",
            citation="Isola, Xiao, Torralba & Oliva (2011), What makes an image memorable?, CVPR",
            home="http://web.mit.edu/phillipi/Public/WhatMakesAnImageMemorable/",
            by_hand=(
                "Download http://web.mit.edu/phillipi/Public/WhatMakesAnImageMemorable/cvpr_memorability_data.zip and "
                'unpack it here. Then run `distspc convert "Data/Image data/target_images.mat" "Data/Image data/'
                'filler_images.mat" Images` in this folder, which writes Images/Targets and Images/Fillers.',
            ),
            downloads=(
                Download(
                    "target_info_IsolaEtAl.csv",
                    _SPC_PUBLIC + "Image_info/target_info_IsolaEtAl.csv",
                    "48d47bb0838930ebbb35332bf73e2af7b4857feeef066cb5862c4d3d41daf198",
                ),
                Download(
                    "block5_pool_NN.csv",
                    _SPC_PUBLIC + "Results/Dist/block5_pool_NN.csv",
                    "e06283ae818fe0a2609e0ee4ecd6cada51024acf06d5fae7609c781b2612a12d",
                ),
                Download(
                    "fc2_spc_rec_quality.npy",
                    _SPC_PUBLIC + "Results/RE/fc2/spc_rec_quality.npy",
                    "77bcfd3a99e13d6d7b0193c929543276ad0e6ab9414fe4e1250174abd7757432",
                ),
            ),
            scores=("corrected_hit", "hit", "fa"),
            read=read_isola,
        ),
        Dataset(
            name="memcat",
            title="10,000 photographs of five categories",
            citation="Goetschalckx & Wagemans (2019), MemCat: a new category-based image set quantified on "
            "memorability, PeerJ 7, e8169, doi 10.7717/peerj.8169",
            home="https://gestaltrevision.be/projects/memcat/",
            by_hand=(
                "Download the images and memcat_image_data.csv from https://gestaltrevision.be/projects/memcat/ and "
                "unpack them here, so that the images are in <category>/<subcategory>/<file> at any depth.",
            ),
            scores=("memorability_w_fa_correction", "memorability_wo_fa_correction"),
            read=read_memcat,
        ),
        Dataset(
            name="lamem",
            title="about 60,000 photographs",
            citation="Khosla, Raju, Torralba & Oliva (2015), Understanding and predicting image memorability at a "
            "large scale, ICCV, doi 10.1109/ICCV.2015.275",
            home="http://memorability.csail.mit.edu/download.html",
            by_hand=(
                "Download http://memorability.csail.mit.edu/lamem.tar.gz and unpack it here: images/ and splits/.",
            ),
            scores=("memorability",),
            read=read_lamem,
        ),
        Dataset(
            name="things",
            title="26,107 photographs of 1,854 objects",
            citation="Kramer, Hebart, Baker & Bainbridge (2023), The features underlying the memorability of objects, "
            "Science Advances 9, eadd2981, doi 10.1126/sciadv.add2981; images: Hebart et al. (2019), PLOS ONE 14, "
            "e0223792",
            home="https://osf.io/5a7z6/",
            by_hand=(
                "Download THINGS_Memorability_Scores.csv from https://osf.io/5a7z6/ and the images of THINGS from "
                "https://osf.io/jum2f/, and unpack them here, so that the images are in <object>/<file> at any depth.",
            ),
            scores=("cr",),
            read=read_things,
        ),
    )
}
"""The image sets that `distspc init --dataset` knows, by name."""


def find_dataset(name: str) -> Dataset:
    """Return the data set of that name.

    Raises
    ------
    InputError
        If there is none; lists those there are.
    """
    if name not in DATASETS:
        raise InputError(f"unknown data set {name!r}: expected {', '.join(DATASETS)}, or csv (your own table)")
    return DATASETS[name]
