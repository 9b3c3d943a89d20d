"""Is what a store holds the study's own? One comparison of images and settings, for every command."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict
from functools import partial

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.files.weights import DOWNLOADS, is_fetched
from distspc.extraction.imported.image_table import listed_digest
from distspc.images.inventory import images_digest, refuse_other_images
from distspc.study.file import STAGES, StageName, StudyFile
from distspc.study.images import StudyImages

logger = logging.getLogger(__name__)

Check = tuple[StageName, str, Callable[[], None]]


def refuse_other_results(
    study: StudyFile, stages: Collection[StageName] = STAGES, images: StudyImages | None = None
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


def _checks(study: StudyFile, images: StudyImages) -> Iterator[Check]:
    store = study.stored
    if store.images.exists():
        yield "extract", "", partial(_compare_images, study, images)
    for layer in study.layers:
        if store.layer(layer).exists():
            yield "extract", layer, partial(_compare_activations, study, layer)
    if store.distances.exists():
        yield "distances", "", partial(store.distances.refuse_other_recipe, asdict(study.distance_options))
    if store.reconstruction.exists():
        recipe = asdict(study.reconstruction_options)
        yield "reconstruct", "", partial(store.reconstruction.refuse_other_recipe, recipe)


def _compare_images(study: StudyFile, images: StudyImages) -> None:
    """Compare the images; those that are not on disk any more cannot be, and results outlive them."""
    try:
        if study.activations is not None and study.images is not None:
            study.stored.images.refuse_other_recipe({"images": listed_digest(images.listed)})
        elif study.activations is not None:
            n_targets, n_fillers = images.counts
            if n_targets:
                study.stored.images.refuse_other_recipe({"images": f"imported:{n_targets}:{n_fillers}"})
        elif not images.unchanged:
            refuse_other_images(study.stored, images.listed)
    except StoreMismatchError:
        raise
    except InputError as error:
        logger.warning("the images in %s cannot be compared with the study's: %s", study.store, error)


def _compare_activations(study: StudyFile, layer: str) -> None:
    """Compare the settings of a layer's activations; weights that are not on this machine cannot be."""
    network, group = study.network_of(layer), study.stored.layer(layer)
    known = group.attributes.get("recipe", {})
    architecture = known.get("architecture")
    imported = architecture == "imported"
    if architecture is None and study.activations is not None:
        return  # nothing says where these came from; with images, a network's settings are due
    if imported or study.activations is not None:
        source = ("activations that were imported", "images")
        if imported != (study.activations is not None):
            was, now = source if imported else source[::-1]
            raise StoreMismatchError.of_settings(study.store, group.name, f"made from {was}, now from {now}")
        return
    if network.options.weights in DOWNLOADS and not is_fetched(network.options.weights):
        return
    try:
        spec = network.resolved(network.own_names([layer]))
    except InputError as error:
        logger.warning("the network of %s cannot be compared with the study's: %s", group.name, error)
        return
    made = {**spec.described(spec.layers[0]), "dtype": network.options.dtype, "images": images_digest(study.stored)}
    group.refuse_other_recipe(made)
