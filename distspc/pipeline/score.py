"""Images scored against a study: its store is only read, results are kept beside it until the table is delivered."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.images.inventory import images_digest
from distspc.pipeline.compute import Progress, available_workers, compute, no_progress, run_on_all_workers
from distspc.pipeline.connections import DEFAULT_PROFILE
from distspc.pipeline.stages.registry import STAGES
from distspc.schedule import Workers
from distspc.scoring.build import (
    NetworkPass,
    Offsets,
    ScoreWork,
    offset_tasks,
    refuse_without_category,
    score_chunk,
    score_tasks,
)
from distspc.scoring.images import FILES_PER_TASK, LookedAt, list_new_images, look_tasks, tell_apart
from distspc.scoring.options import DEFAULT_LIMITS, ScoreLimits
from distspc.scoring.reference import (
    Reference,
    chosen_layers,
    has_changed,
    missing_offsets,
    read_reference,
    study_state,
)
from distspc.scoring.results import allocate, image_ranges, missing_layers, remove_results, results_folder
from distspc.scoring.table import labelled_scores
from distspc.store.access import lock
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.study.file import StudyFile
from distspc.study.images import StudyImages
from distspc.study.networks import StudyNetwork
from distspc.tasks import free_spare_memory, refusals_as_values

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

logger = logging.getLogger(__name__)

Connect = Callable[[], "Client | None"]


@dataclass(frozen=True)
class Scored:
    """Images that were scored.

    Attributes
    ----------
    table
        A row per image and layer (`distspc.scoring.table.labelled_scores`).
    reference
        What they were scored against.
    images
        The images, and what is to be said of them.
    results
        Folder of the results, which `forget` removes once the table is delivered.
    """

    table: pd.DataFrame
    reference: Reference
    images: LookedAt
    results: Path

    @property
    def notices(self) -> list[str]:
        """What is to be said: what the study lacks, which images are its own, which are twice there."""
        return [*self.reference.notices, *self.images.notices]

    def forget(self) -> None:
        """Remove what was kept to go on from."""
        remove_results(self.results)


def score_images(
    study: StudyFile,
    images: Any,
    *,
    layers: Sequence[str] | None = None,
    connect: Connect | None = None,
    always_connect: bool = False,
    progress: Progress = no_progress,
    limits: ScoreLimits = DEFAULT_LIMITS,
) -> Scored:
    """Score images against a study.

    Parameters
    ----------
    study
        The study; what is there of it is compared with its settings first.
    images
        As `distspc.scoring.images.list_new_images` takes them.
    layers
        Layers; all that the study has by default.
    connect
        Gives a client where there is more to do than one task; None: this process does all.
    always_connect
        Whether it gives one for few images too.
    progress
        Told how far every piece of work is.
    limits
        How much is done at once.

    Raises
    ------
    StoreMismatchError
        If the store holds results of other settings.
    InputError
        If no image can be used, the study has nothing to score against, or it changed meanwhile.
    """
    _refuse_other_settings(study, chosen_layers(study, layers))
    reference = read_reference(study, layers)
    sources = list_new_images(images)
    several = always_connect or len(sources) > limits.images_at_once(_image_nbytes(reference), Workers())
    client = connect() if connect is not None and several else None
    looked = _look(sources, study.stored, client, progress)
    if any(one.size is not None for one in reference.layers):
        refuse_without_category(looked.images, reference.distance.category)
    path = _results_path(study, reference, looked)
    with lock(path):
        results = Store(path)
        chunk = limits.images_at_once(_image_nbytes(reference), available_workers(client))
        group = allocate(results, reference, looked.images, min(chunk, len(looked.images)))
        work = _work(study, reference, looked, results, group, limits)
        with _unchanged(study, reference, layers):
            _compute(work, reference, client, progress)
            table = labelled_scores(group, reference, looked.images)
    return Scored(table, reference, looked, path)


def _refuse_other_settings(study: StudyFile, layers: Sequence[str]) -> None:
    """Compare the settings of what the store holds with the study's; the images of the study need not be there."""
    images = StudyImages(study)
    for name in ("extract", "distances", "reconstruct"):
        for layer, check in STAGES[name].comparisons(study, images):
            if layer in layers or (not layer and name != "extract"):
                check()


@contextmanager
def _unchanged(study: StudyFile, reference: Reference, layers: Sequence[str] | None) -> Iterator[None]:
    """Context in which results are made; refuses them, or what went wrong, if the study was changed meanwhile."""
    try:
        yield
    except Exception:
        _refuse_change(study, reference, layers)
        raise
    _refuse_change(study, reference, layers)


def _refuse_change(study: StudyFile, reference: Reference, layers: Sequence[str] | None) -> None:
    """Refuse a study whose results are not those that they were."""
    if has_changed(reference.state, study_state(study.stored, chosen_layers(study, layers))):
        raise InputError(
            f"{study.store} was changed by another run while images were scored against it: score them again when "
            "that run has ended"
        )


def _image_nbytes(reference: Reference) -> int:
    """Bytes of the activations of an image at all layers of a study; of several networks, too many."""
    return 4 * sum(one.n_features for one in reference.layers)


def _look(sources: Sequence[Any], store: Store, client: Client | None, progress: Progress) -> LookedAt:
    few = client is None or len(sources) <= FILES_PER_TASK
    parts = compute(
        look_tasks(sources), None if few else client, label="look at images", progress=progress, gather=True
    )
    return tell_apart(sources, [record for part in parts for record in part], store)


def _results_path(study: StudyFile, reference: Reference, looked: LookedAt) -> Path:
    """Folder of the results: beside the store, or here where nothing can be written there."""
    path = results_folder(study.store, reference, looked.images)
    return path if os.access(study.store.parent, os.W_OK) else Path.cwd() / path.parent.name / path.name


def _work(
    study: StudyFile, reference: Reference, looked: LookedAt, results: Store, group: Group, limits: ScoreLimits
) -> list[ScoreWork]:
    """What is missing: a piece of work for each network and range of images."""
    found, pieces, ranges = missing_layers(group), [], image_ranges(group)
    for network in study.networks:
        own = [one.layer for one in reference.layers if one.layer in network.labels]
        through = None
        for i, missing in found.items():
            layers = [layer for layer in own if layer in missing]
            images = looked.images[slice(*ranges[i])]
            if layers:
                some = reference.of_layers(layers)
                through = through or _network_pass(study, network, reference.of_layers(own), looked)
                pieces.append(ScoreWork(some, through, images, ranges[i], results, {}, limits=limits))
    for i, missing in found.items():
        if "" in missing:
            none, images = reference.of_layers([]), looked.images[slice(*ranges[i])]
            pieces.append(ScoreWork(none, NetworkPass(None, 1, "float32"), images, ranges[i], results, {},
                                    with_pixels=True, limits=limits))  # fmt: skip
    return pieces


def _network_pass(study: StudyFile, network: StudyNetwork, reference: Reference, looked: LookedAt) -> NetworkPass:
    """How images go through a network; which network that is is settled where any image has to.

    Raises
    ------
    InputError
        If the study has no network, or this is not the one that made its activations.
    """
    options, layers = network.options, [one.layer for one in reference.layers]
    stored = all(one.has_activations for one in reference.layers)
    if stored and all(image.position >= 0 for image in looked.images):
        return NetworkPass(None, options.batch_size, options.dtype)
    if study.activations is not None:
        raise InputError(
            "the study takes `activations` that others made and has no network, so that new images cannot be scored "
            "against it: make their activations as the study's were, and run a study that has them too"
        )
    spec = network.resolved(network.own_names(layers))
    common = {"dtype": options.dtype, "images": images_digest(study.stored)}
    for own, layer in zip(spec.layers, layers, strict=True):
        study.stored.layer(layer).refuse_other_recipe({**spec.described(own), **common})
    return NetworkPass(spec, options.batch_size, options.dtype)


def _compute(work: Sequence[ScoreWork], reference: Reference, client: Client | None, progress: Progress) -> None:
    """Do what is missing, here or on a cluster; what older stores do not say is computed again first."""
    if not work:
        return
    offsets = _missing_offsets(reference, client, progress)
    pieces = [_with_offsets(one, offsets) for one in work]
    if client is None:
        for number, one in enumerate(pieces, start=1):
            score_chunk(one, partial(_report, progress, f" ({number} of {len(pieces)})" if len(pieces) > 1 else ""))
    else:
        with refusals_as_values():
            tasks = score_tasks(pieces)
        compute(tasks, client, label="score", progress=progress)
    run_on_all_workers(free_spare_memory, client)


def _report(progress: Progress, number: str, layer: str, n_done: int, n_tiles: int) -> None:
    progress(f"score {layer}{number}", n_done, n_tiles)


def _missing_offsets(reference: Reference, client: Client | None, progress: Progress) -> Offsets:
    missing = missing_offsets(reference)
    if not missing:
        return {}
    logger.warning(
        "%s is of an older version, which did not keep the mean that its codes were taken around: it is computed again "
        "from the activations of %s", reference.store, ", ".join(missing),
    )  # fmt: skip
    with refusals_as_values():
        tasks = offset_tasks(reference, missing)
    found = compute(tasks, client, label="means of an older store", progress=progress, gather=True)
    return dict(zip(missing, found, strict=True))


def _with_offsets(work: ScoreWork, offsets: Offsets) -> ScoreWork:
    own = {one.layer: offsets[one.layer] for one in work.reference.layers if one.layer in offsets}
    return replace(work, offsets=own)


@contextmanager
def connection(
    study: StudyFile, profile: str | None, overrides: Sequence[str], opened: Any = None
) -> Iterator[Connect]:
    """Context that gives a client when it is asked for one, on a profile or where the study extracts, else locally."""
    from distspc.deployment.session import deploy

    with ExitStack() as stack:

        def connect() -> Client:
            name = profile or study.profiles.get("extract", DEFAULT_PROFILE)
            logs = study.store.parent / "distspc-logs"
            client = stack.enter_context(
                deploy(name, overrides=overrides, name=f"{study.store.stem}-score", log_directory=logs)
            )
            if opened is not None:
                opened(client)
            return client

        yield connect
