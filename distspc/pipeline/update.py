"""A study whose images have changed: made anew beside its store from what is known, then put in the store's place.

Until it is whole the old study stays as it is. What is made beside it is an ordinary store, which a run that was
stopped goes on with.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence

from distspc.errors import InputError, StoreMismatchError
from distspc.images.changes import Changes
from distspc.images.inventory import image_changes, same_images, table_is_whole
from distspc.pipeline.comparison import refuse_other_results, refuse_other_settings
from distspc.pipeline.needs.engines import settle_engines
from distspc.pipeline.stages.registry import STAGES, rested_on
from distspc.store.replacement import earlier_store, remove_tree, staged_store
from distspc.store.store import Store
from distspc.study.file import StageName, StudyFile
from distspc.study.images import StudyImages

logger = logging.getLogger(__name__)


def changed_images(study: StudyFile, images: StudyImages) -> Changes | None:
    """Say in what the images of a study differ from those of its store; None where they do not, or there is no store.

    Files that the store does not know are read. Imported activations are of files that are not: what they differ in is
    not counted.
    """
    if not study.stored.images.exists():
        return None
    if study.activations is not None:
        return Changes() if _lists_differ(study, images) else None
    if not table_is_whole(study.stored) or images.unchanged:
        return None
    return image_changes(study.stored, images.listed) or None


def n_known_images(study: StudyFile, changes: Changes | None) -> int:
    """Images whose activations an update keeps: none where a layer has none, or was given back."""
    if changes is None or study.activations is not None:
        return 0
    groups = [study.stored.layer(layer) for layer in study.layers]
    return changes.n_known if all(group.exists() and not group.given_back for group in groups) else 0


def _lists_differ(study: StudyFile, images: StudyImages) -> bool:
    for layer, check in STAGES["extract"].comparisons(study, images):
        if not layer:
            try:
                check()
            except StoreMismatchError:
                return True
    return False


def staged_study(study: StudyFile) -> StudyFile:
    """Return the study as it is made beside its store, by the same engines."""
    return settle_engines(study).model_copy(update={"store": staged_store(study.stored).path})


def begin_update(study: StudyFile, stages: Sequence[StageName], images: StudyImages) -> tuple[Store, ...]:
    """Look whether a study can be made anew, and whether a run has begun to; hold the lock of its store.

    Returns
    -------
    tuple of Store
        Those that have activations of its images.

    Raises
    ------
    InputError
        If the activations are not among the stages, or other settings than the images have changed.
    """
    if "extract" not in stages:
        raise InputError("other images are for all stages: update the whole study (`distspc run STUDY.yaml --update`)")
    refuse_other_settings(study, rested_on(stages))
    _settle_begun(study, images)
    others = (study.stored, earlier_store(study.stored))
    return tuple(store for store in others if store.images.exists())


def _settle_begun(study: StudyFile, images: StudyImages) -> None:
    """Go on with what a run has begun, if it is of the same images and settings; else take of it what it has."""
    begun, earlier = staged_study(study), earlier_store(study.stored)
    if not begun.stored.images.exists() or not table_is_whole(begun.stored):
        return
    try:
        if study.activations is None and not same_images(begun.stored, images.listed):
            raise StoreMismatchError("other images")
        refuse_other_results(begun, images=StudyImages(begun))
    except StoreMismatchError as error:
        logger.info("what was begun in %s is of other images or settings (%s)", begun.store, error)
        remove_tree(earlier.path)
        os.rename(begun.store, earlier.path)
