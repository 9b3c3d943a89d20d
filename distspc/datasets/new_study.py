"""A new study of a data set, or of one's own images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from distspc.datasets.catalogue import find_dataset, log
from distspc.datasets.published_tables import locate_images
from distspc.errors import InputError
from distspc.messages import counted, shorten


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
        raise InputError(
            "isola comes as MATLAB files, not as image files: `distspc convert TARGETS.mat FILLERS.mat DIR` writes "
            "these"
        )
    table = dataset.read(folder)
    located = locate_images(folder, list(table["path"]))
    lost = [path for path, file in zip(table["path"], located, strict=True) if file is None]
    sentence = f"{counted(len(lost), 'image', 'is', of=len(table))} not there: {shorten(lost)}" if lost else ""
    if lost:
        log.warning("%s: %s", name, sentence)
    there = [file is not None for file in located]
    table = table.assign(path=[file or "" for file in located], role="target")[there]
    order = ["path", "role", *(column for column in table.columns if column not in ("path", "role"))]
    table[order].to_csv(folder / "images.csv", index=False)
    return sentence


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

_MODEL = """\
model:
  weights: hybrid1365          # hybrid1365 | imagenet | random | a path to .h5, .keras or .onnx | timm:NAME
  preprocessing: raw           # raw | caffe | auto
layers: [block1_pool, block2_pool, block3_pool, block4_pool, block5_pool, fc1, fc2]
"""

_STAGES = """\
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

_REST = _MODEL + _STAGES


def settings_text(weights: str) -> str:
    """The network and the stages of a new study, as its file has them: the paper's settings, layers that there are.

    Raises
    ------
    InputError
        If the weights cannot be used.
    """
    from distspc.extraction.options import BUILTIN_WEIGHTS

    if weights in BUILTIN_WEIGHTS:
        named = f"weights: {weights}"
        return _REST.replace(f"{'weights: hybrid1365':<29}", f"{named:<29}")
    import yaml

    from distspc.datasets.networks import network_settings

    network, n_features = network_settings(weights)
    stages = _STAGES.replace("units: 1000", f"units: {min(1000, n_features)}")
    return yaml.safe_dump(network, sort_keys=False, allow_unicode=True) + stages


class NewStudy(NamedTuple):
    """A study that was begun: its file, and what is left to be done by hand."""

    study: Path
    left: tuple[str, ...]


def init_study(name: str, directory: str | Path) -> NewStudy:
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
    NewStudy
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
    return NewStudy(study, _left(name, directory))


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
            f"Run `distspc fetch {directory} --dataset isola`, which gets {shorten(missing)}." for _ in missing[:1]
        )
        return fetched + (() if (directory / "Images" / "Targets").is_dir() else dataset.by_hand)
    again = f"run `distspc init {directory} --dataset {name}` again"
    try:
        lost = _write_image_table(name, directory)
    except InputError as error:
        return (*dataset.by_hand, f"Then {again} ({error}).")
    return (f"{lost}. The study has the others; once these are there too, {again}.",) if lost else ()
