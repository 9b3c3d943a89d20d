"""Tables and images of the field's data sets, as their makers publish them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import need_columns, numeric_columns, read_table, to_numbers
from distspc.memorability.scores import check_rates
from distspc.messages import shorten

_DEEPEST = 4  # folders between the data set's and those that its table names


def _find(folder: Path, names: Sequence[str], *, what: str) -> Path:
    """Return the one file below a folder that has one of these names, the shallowest."""
    for name in names:
        found = sorted(folder.rglob(name), key=lambda path: (len(path.parts), str(path)))
        if found:
            return found[0]
    raise InputError(
        f"{what}: {folder} holds no {' or '.join(names)}; download it first (distspc init says from where)"
    )


def _numbers(table: pd.DataFrame, names: Sequence[str], where: str) -> pd.DataFrame:
    numbers = pd.DataFrame({name: to_numbers(table[name], where=where) for name in names})
    for name in names:
        check_rates(numbers[name], where=where)
    return numbers


def read_isola(folder: Path) -> pd.DataFrame:
    """Scores of Isola et al. (2011): ``target_info_IsolaEtAl.csv``, or else the MATLAB file of the original release.

    Parameters
    ----------
    folder
        Where the files are, at any depth.

    Returns
    -------
    DataFrame
        Columns im_ind (from 1), hit, fa, corrected_hit.

    Raises
    ------
    InputError
        If neither file is there, or it holds something else.
    """
    file = _find(folder, ["target_info_IsolaEtAl.csv", "sorted_target_data.mat"], what="isola")
    if file.suffix == ".mat":
        return _read_isola_counts(file)
    table, names = read_table(file, what="scores"), ["hit", "fa", "corrected_hit"]
    need_columns(table, ["im_ind", *names], where=str(file))
    return _numbers(table, ["im_ind", *names], str(file)).astype({"im_ind": int}).reset_index(drop=True)


def _read_isola_counts(file: Path, n_targets: int = 2222) -> pd.DataFrame:
    """Rates from the numbers of hits, misses, false alarms and correct rejections; the textures at the end left out."""
    from scipy.io import loadmat

    content = {name: value for name, value in loadmat(file, squeeze_me=True).items() if not name.startswith("__")}
    fields = ("hits", "misses", "false_alarms", "correct_rejections")
    for records in content.values():
        if records.dtype.names and set(fields) <= set(records.dtype.names):
            hits, misses, alarms, rejections = (
                np.array([float(np.squeeze(x)) for x in np.atleast_1d(records[name])[:n_targets]]) for name in fields
            )
            with np.errstate(invalid="ignore"):
                table = pd.DataFrame({"hit": hits / (hits + misses), "fa": alarms / (alarms + rejections)})
            table.insert(0, "im_ind", range(1, len(table) + 1))
            return table.assign(corrected_hit=table["hit"] - table["fa"])
    raise InputError(
        f"{file} holds no records with the fields {', '.join(fields)}; it has {shorten(content)}. Download it again"
    )


def read_memcat(folder: Path) -> pd.DataFrame:
    """Scores of MemCat, from ``memcat_image_data.csv``; paths are ``category/subcategory/file``."""
    file = _find(folder, ["memcat_image_data.csv"], what="memcat")
    table, names = read_table(file, what="scores"), ["memorability_w_fa_correction", "memorability_wo_fa_correction"]
    need_columns(table, ["image_file", "category", "subcategory", *names], where=str(file))
    path = table["category"] + "/" + table["subcategory"] + "/" + table["image_file"]
    labels = pd.DataFrame({"path": path, "category": table["category"], "subcategory": table["subcategory"]})
    return labels.join(_numbers(table, names, str(file))).reset_index(drop=True)


def read_lamem(folder: Path) -> pd.DataFrame:
    """Scores of LaMem, from all lines ``file score`` of ``splits/*.txt``; the splits repeat each image.

    Raises
    ------
    InputError
        If there are no splits, a line is not a file and a number, or two splits disagree.
    """
    some = _find(folder, ["train_1.txt", "*_1.txt", "*.txt"], what="lamem")
    known: dict[str, float] = {}
    for file in sorted(some.parent.glob("*.txt")):
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                name, score = _lamem_line(line, f"{file}, line {number}")
                if known.setdefault(name, score) != score:
                    raise InputError(
                        f"{file}, line {number}: {name} has {score:g}, in another split {known[name]:g}; download the "
                        "splits again"
                    )
    return pd.DataFrame({"path": list(known), "memorability": list(known.values())})


def _lamem_line(line: str, where: str) -> tuple[str, float]:
    try:
        name, score = line.split()
        value = float(score)
    except ValueError:
        raise InputError(
            f"{where}: {line.strip()[:80]!r} is not a file name and a score; download it again, or remove the line"
        ) from None
    if not -1 <= value <= 1:
        raise InputError(f"{where}: score {value:g} is outside [-1, 1]; correct it")
    return name, value


def read_things(folder: Path) -> pd.DataFrame:
    """Scores of THINGS, from ``THINGS_Memorability_Scores.csv``; the category is the image's folder."""
    file = _find(folder, ["THINGS_Memorability_Scores.csv"], what="things")
    table = read_table(file, what="scores")
    need_columns(table, ["file_path", "image_name", "cr"], where=str(file))
    path = table["file_path"].str.replace("\\", "/")
    labels = pd.DataFrame({"path": path, "category": [PurePosixPath(name).parent.name for name in path]})
    return labels.join(_numbers(table, ["cr"], str(file))).reset_index(drop=True)


def read_csv(file: str | Path, *, path_column: str, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read anybody's table: one row per image, a column with its path, columns with scores.

    Parameters
    ----------
    file
        The table.
    path_column
        Column with the path of the image, relative to the folder of images.
    columns
        Score columns; all that hold numbers by default.

    Returns
    -------
    DataFrame
        Columns path, category (where the table has one), scores.
    """
    table, where = read_table(file, what="scores"), f"scores {file}"
    need_columns(table, [path_column, *columns], where=where)
    names = list(columns) or numeric_columns(table, but=[path_column, "category"])
    labels = table[[name for name in ("category",) if name in table.columns]]
    labels.insert(0, "path", table[path_column].str.replace("\\", "/"))
    return labels.join(_numbers(table, names, where)).reset_index(drop=True)


# ---------------------------------------------------------------- images on disk


def locate_images(folder: str | Path, paths: Sequence[str]) -> list[str | None]:
    """Find the files that a table names, wherever the archive was unpacked.

    The folder below `folder` is searched from which most of the paths lead to a file: as they stand, or without their
    first part (THINGS calls ``images/`` what its archive calls ``object_images/``). Some may be missing.

    Parameters
    ----------
    folder
        Folder of the data set.
    paths
        Paths as the table has them.

    Returns
    -------
    list of str or None
        Paths relative to `folder`, with slashes; None where there is no file.

    Raises
    ------
    InputError
        If none of the paths leads to a file; says which were looked for.
    """
    folder = Path(folder)
    wanted = [PurePosixPath(path) for path in paths]
    shorter = [PurePosixPath(*path.parts[1:]) if len(path.parts) > 2 else path for path in wanted]
    files = _files(folder, depth=_DEEPEST + max((len(path.parts) for path in wanted), default=1))
    votes = Counter(
        (root, names is shorter)
        for names in (wanted, shorter)
        for path in names
        for root in _roots(path.as_posix(), files.get(path.name, ()))
    )
    if not votes:
        raise InputError(f"no images: no folder in {folder} leads to {shorten(paths, most=3)}; unpack them there")
    root, short = min(votes, key=lambda key: (-votes[key], key[0].count("/"), key))
    there = {file for found in files.values() for file in found}
    located = [f"{root}{path.as_posix()}" for path in (shorter if short else wanted)]
    return [file if file in there else None for file in located]


def _roots(path: str, files: Iterable[str]) -> Iterator[str]:
    """What stands before a path in the names of files that end with it: nothing, or a folder with a slash."""
    for file in files:
        root = file.removesuffix(path)
        if root != file and (not root or root.endswith("/")):
            yield root


def _files(folder: Path, depth: int) -> dict[str, list[str]]:
    """Files below a folder, relative to it, by their name; stores apart, and no deeper than an archive's folders."""
    found: dict[str, list[str]] = {}
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        relative = Path(here).relative_to(folder)
        again = os.path.realpath(here) in seen
        seen.add(os.path.realpath(here))
        if again or len(relative.parts) >= depth:
            folders.clear()
        folders[:] = sorted(name for name in folders if not name.endswith(".zarr"))
        for name in [] if again else files:
            found.setdefault(name, []).append((relative / name).as_posix())
    return found
