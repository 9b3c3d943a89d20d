"""Image sets whose memorability was measured: what they are called, where they come from, how their tables are read."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from distspc.csv_tables import listed
from distspc.dataset_tables import locate_images, read_csv, read_isola, read_lamem, read_memcat, read_things
from distspc.errors import InputError

__all__ = [
    "DATASETS",
    "Dataset",
    "Download",
    "Started",
    "fetch",
    "find_dataset",
    "init_study",
    "read_csv",
    "write_image_table",
]

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


def write_image_table(name: str, folder: str | Path) -> Path:
    """Write ``images.csv`` of a downloaded data set: path, role, category and scores of the images that are there.

    Parameters
    ----------
    name
        ``memcat``, ``lamem`` or ``things``.
    folder
        Folder with its tables and images.

    Returns
    -------
    Path
        The table; a study names it under ``images: table:`` and ``scores: file:``.

    Raises
    ------
    InputError
        If tables or images are missing, or the tables hold something else. Some missing images are only logged.
    """
    _write_image_table(name, Path(folder))
    return Path(folder) / "images.csv"


def _write_image_table(name: str, folder: Path) -> str:
    """Write the table; returns a sentence about the images that are not there, nothing if they all are."""
    dataset = find_dataset(name)
    if dataset.name == "isola":
        raise InputError("isola comes as MATLAB files, not as image files: convert them (see its study file)")
    table = dataset.read(folder)
    located = locate_images(folder, list(table["path"]))
    lost = [path for path, file in zip(table["path"], located, strict=True) if file is None]
    sentence = f"{len(lost)} of {len(table)} images are not there: {listed(lost)}" if lost else ""
    if lost:
        log.warning("%s: %s", name, sentence)
    there = [file is not None for file in located]
    table = table.assign(path=[file or "" for file in located], role="target")[there]
    order = ["path", "role", *(column for column in table.columns if column not in ("path", "role"))]
    table[order].to_csv(folder / "images.csv", index=False)
    return sentence


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
        raise InputError(f"data set {name!r} is not known; known are {', '.join(DATASETS)} and csv (anybody's table)")
    return DATASETS[name]


# ---------------------------------------------------------------- a study of it

_FOLDERS = """\
images:
  targets: Images/Targets
  fillers: Images/Fillers{optional}
scores:
  file: {file}
  image: {image}
  columns: [{columns}]
"""

_TABLE = """\
images:
  table: images.csv            # path, category and scores of the images
scores:
  file: images.csv
  image: path
  columns: [{columns}]
"""

_REST = """\
model:
  weights: hybrid1365          # hybrid1365 | imagenet | random | a path to .h5 or .keras
  preprocessing: raw           # raw | caffe | auto
layers: [block1_pool, block2_pool, block3_pool, block4_pool, block5_pool, fc1, fc2]
distinctiveness:
  protocol: paper              # paper | spc-public | distinct
reconstruction:
  units: 1000
  codewords: 500
  batches: 1000
  batch-size: 250
  sparsity: 0.001
  seeds: [0]
relate:
  bootstrap: 1000
"""


class Started(NamedTuple):
    """A study that was begun: its file, and what is left to be done by hand."""

    study: Path
    left: tuple[str, ...]


def init_study(name: str, directory: str | Path) -> Started:
    """Write a study file for a data set into a folder, and say what is still to be downloaded.

    Run again once the files are there: the image table of MemCat, LaMem and THINGS is made then.

    Parameters
    ----------
    name
        ``isola``, ``memcat``, ``lamem``, ``things``, or ``csv`` for a template to fill in.
    directory
        Folder of the study; made if missing.

    Returns
    -------
    Started
        The study file and what is left to do, in sentences; nothing left if the study can run.

    Raises
    ------
    InputError
        For an unknown name, a folder that is a file, or one that holds another study.
    """
    directory = Path(directory)
    text = _study_text(name)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"{directory} is a file; name a folder for the study")
    study = directory / "study.yaml"
    if study.exists() and not study.read_text(encoding="utf-8").startswith(text.split("\n", 1)[0]):
        raise InputError(f"{study} is there already and not a study of {name}: name another folder")
    directory.mkdir(parents=True, exist_ok=True)
    if not study.exists():
        study.write_text(text, encoding="utf-8")
    return Started(study, _left(name, directory))


def _study_text(name: str) -> str:
    if name == "csv":
        head = "# A study of your own images: change what is between < and >.\nstore: study.zarr\n"
        columns = "<score columns>"
        return (
            head
            + _FOLDERS.format(optional="    # optional", file="<scores.csv>", image="<column>", columns=columns)
            + _REST
        )
    dataset = find_dataset(name)
    lines = [f"# {name}: {dataset.title}.", f"# Please cite {dataset.citation}.", f"# Source: {dataset.home}"]
    head = "\n".join(lines) + "\nstore: study.zarr\n"
    columns = ", ".join(dataset.scores)
    if name == "isola":
        file = dataset.downloads[0].name
        return head + _FOLDERS.format(optional="", file=file, image="im_ind", columns=columns) + _REST
    return head + _TABLE.format(columns=columns) + _REST


def _left(name: str, directory: Path) -> tuple[str, ...]:
    """What is still to be done before the study can run; makes the image table where it can be made."""
    if name == "csv":
        return ("Put your images into Images/Targets, and name your table of scores in study.yaml.",)
    dataset = find_dataset(name)
    if name == "isola":
        missing = [item.name for item in dataset.downloads[:1] if not (directory / item.name).exists()]
        fetched = tuple(
            f"Run `distspc fetch {directory} --dataset isola`, which gets {listed(missing)}." for _ in missing[:1]
        )
        return fetched + (() if (directory / "Images" / "Targets").is_dir() else dataset.by_hand)
    again = f"run `distspc init {directory} --dataset {name}` again"
    try:
        lost = _write_image_table(name, directory)
    except InputError as error:
        return (*dataset.by_hand, f"Then {again} ({error}).")
    return (f"{lost}. The study has the others; once these are there too, {again}.",) if lost else ()


def fetch(name: str, directory: str | Path) -> tuple[list[Path], tuple[str, ...]]:
    """Download what can be checked against a known digest; say what must be fetched by hand.

    A file that is there with the right digest is not fetched again, so a broken-off fetch goes on where it stopped,
    file by file. A file with another digest is replaced.

    Parameters
    ----------
    name
        Name of a data set.
    directory
        Where the files go.

    Returns
    -------
    files : list of Path
        What was fetched, or was there already.
    by_hand : tuple of str
        What must be fetched by hand, in sentences.

    Raises
    ------
    InputError
        If the data set is unknown, or a download fails; says which file to put where.
    """
    dataset, directory = find_dataset(name), Path(directory)
    return [_fetch(item, directory) for item in dataset.downloads], dataset.by_hand


def _fetch(item: Download, directory: Path) -> Path:
    import pooch

    settings: dict[str, Any] = {"known_hash": f"sha256:{item.digest}", "fname": item.name, "path": directory}
    try:
        return Path(pooch.retrieve(item.url, **settings))
    except (OSError, ValueError) as error:  # no network, an answer that is no file, or another file
        raise InputError(
            f"{item.url} cannot be fetched ({error}). Download it by hand and put it at {directory / item.name} "
            f"(SHA-256 {item.digest})"
        ) from error
