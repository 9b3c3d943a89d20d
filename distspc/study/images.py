"""What a study names: images, activations, weights, scores; looked at before work begins on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from distspc.errors import InputError
from distspc.study.file import STAGES, StageName, StudyFile

if TYPE_CHECKING:
    from distspc.images.listing import ImageSource
    from distspc.memorability.matching import Match


def check_sources(study: StudyFile, stages: Sequence[StageName]) -> None:
    """Look at what the stages will need, before a night is spent on others or anything is thrown away.

    Raises
    ------
    InputError
        If images, activations, weights or scores are not there, or cannot be what they should be.
    """
    listed = list_sources(study) if study.images is not None and {"extract", "relate"} & set(stages) else None
    if "extract" in stages and study.activations is not None:
        from distspc.extraction.npy_import import count_activations

        count_activations(study.activations, study.layers)
    elif "extract" in stages:
        from distspc.extraction.network_spec import resolve_network

        resolve_network(study.model.weights, layers=study.layers, digest=study.model.digest)
    if "extract" in stages:
        check_sizes(study, *count_images(study, listed), stages=stages)
    if list(stages) == ["relate"] and study.scores is None:
        raise InputError("the study names no scores to relate to; add `scores:` with `file`, `image` and `columns`")
    if "relate" in stages and study.scores is not None:
        check_scores(study, listed)
    if "report" in stages and study.report.is_dir():
        raise InputError(f"the report {study.report} is a folder; name a file as `report:`")


def check_scores(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> None:
    """Read the scores and find their images by name, before a night is spent on these; nothing of them is read.

    Raises
    ------
    InputError
        If the scores cannot be read, name none of the images, or can be read in two ways.
    """
    from distspc.memorability.scores import read_scores

    scores = study.scores
    if scores is not None:
        read_scores(scores.file, image_column=scores.image, columns=scores.columns, missing=scores.missing)
        if study.images is not None:  # else numbers of files alone: the store's table has them
            match_study(study, listed)


def match_study(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> tuple[Match, pd.DataFrame]:
    """Put the scores of a study beside its targets as they are listed, readable or not; returns these too.

    Raises
    ------
    InputError
        As `check_scores`, and if the study names no scores or no images.
    """
    from distspc.memorability.matching import find_match
    from distspc.memorability.scores import read_scores

    scores = study.scores
    if scores is None:
        raise InputError("the study names no scores")
    found = read_scores(scores.file, image_column=scores.image, columns=scores.columns, missing=scores.missing)
    targets = [source for source in (list_sources(study) if listed is None else listed) if source.role == "target"]
    names = {"image": [s.id for s in targets], "number": [s.number for s in targets], "file": [s.file for s in targets]}
    images = pd.DataFrame(names)
    return find_match(images, found, where=f"scores {scores.file}"), images


def list_sources(study: StudyFile) -> list[ImageSource]:
    """List the images that a study names, targets first; nothing of them is read.

    Raises
    ------
    InputError
        If a folder or table cannot be read or names no image.
    """
    from distspc.images import listing as images

    source = study.images
    if source is None:
        raise InputError("the study names activations, not images")
    if source.table is not None:
        return images.read_image_table(source.table)
    listed = images.list_images(source.targets or "", "target")
    return listed + (images.list_images(source.fillers, "filler") if source.fillers else [])


def count_images(study: StudyFile, listed: Sequence[ImageSource] | None = None) -> tuple[int, int]:
    """Count the targets and fillers that a study names; `listed` are its images, where they are listed already."""
    if study.activations is not None:
        folder = study.activations / study.layers[0]
        return len(list((folder / "Targets").glob("*.npy"))), len(list((folder / "Fillers").glob("*.npy")))
    roles = [source.role for source in (list_sources(study) if listed is None else listed)]
    return roles.count("target"), roles.count("filler")


def check_sizes(study: StudyFile, n_targets: int, n_fillers: int, *, stages: Sequence[StageName] = STAGES) -> None:
    """Look whether there are images enough for the settings of stages that come hours later.

    Raises
    ------
    InputError
        If more neighbours are asked for than there are.
    """
    n_others = n_fillers if study.distinctiveness.protocol == "spc-public" else n_targets + n_fillers - 1
    k = study.distinctiveness.n_neighbours
    if "distances" in stages and 0 < n_others < k:
        raise InputError(
            f"distinctiveness: {k} neighbours asked for, {n_others} images in the pool; ask for fewer, or add images"
        )
