"""Is what a store holds the study's own? One comparison of images and settings, for every command."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from distspc.errors import StoreMismatchError
from distspc.pipeline.stages.base import Comparison
from distspc.pipeline.stages.registry import STAGES
from distspc.study.file import StageName, StudyFile
from distspc.study.images import StudyImages


def refuse_other_results(
    study: StudyFile, stages: Collection[StageName] = tuple(STAGES), images: StudyImages | None = None
) -> None:
    """Compare a store with a study: its images and the settings of what some stages made; nothing is computed.

    Parameters
    ----------
    study
        The study.
    stages
        Whose results are compared; what is not there yet differs in nothing.
    images
        The images of the study, where they may be listed already.

    Raises
    ------
    StoreMismatchError
        If the store holds results of other images or settings; says which, and the ways out.
    """
    for stage, _, check in _checks(study, images or StudyImages(study)):
        if stage in stages:
            check()


def refuse_other_settings(study: StudyFile, stages: Collection[StageName] = tuple(STAGES)) -> None:
    """Compare the settings of what some stages made with a study's, and not its images.

    Raises
    ------
    StoreMismatchError
        As `refuse_other_results`.
    """
    for stage, layer, check in _checks(study, StudyImages(study)):
        if stage in stages and (stage, layer) != ("extract", ""):
            check()


def other_results(study: StudyFile) -> dict[tuple[StageName, str], str]:
    """Say what differs between a store and a study.

    Parameters
    ----------
    study
        The study.

    Returns
    -------
    dict
        By stage and layer (empty: all layers) the difference in words; empty where the results are the study's own.
    """
    found = {}
    for stage, layer, check in _checks(study, StudyImages(study)):
        try:
            check()
        except StoreMismatchError as error:
            found[stage, layer] = error.difference
    return found


def _checks(study: StudyFile, images: StudyImages) -> Iterator[tuple[StageName, str, Comparison]]:
    for name, stage in STAGES.items():
        for layer, check in stage.comparisons(study, images):
            yield name, layer, check
