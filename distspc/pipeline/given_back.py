"""Layers that were given back and are needed again: which, by what, and what extracting them again costs."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from distspc.errors import InputError
from distspc.messages import counted, format_duration, format_nbytes, shorten
from distspc.pipeline.connections import DEFAULT_PROFILE
from distspc.pipeline.needs.work import Rates, Setting, hand_out
from distspc.pipeline.plan import profile_resources
from distspc.pipeline.stages.base import Run, Stage
from distspc.pipeline.stages.registry import STAGES
from distspc.store.activations import ask_again
from distspc.store.group import GIVEN_BACK
from distspc.study.file import StageName, StudyFile
from distspc.study.images import StudyImages


def settle_given_back(
    run: Run, stages: Sequence[Stage], *, redone: Collection[StageName] = (), again: bool = False
) -> None:
    """Ask for the layers that some stages need and that were given back, or refuse to do without.

    Parameters
    ----------
    run
        The run.
    stages
        What it is to compute.
    redone
        Stages whose results are to be thrown away first.
    again
        Whether layers are extracted again; of the stage extract alone, all that were given back.

    Raises
    ------
    InputError
        If it needs such layers and may not extract them again; says what this costs.
    """
    names = [stage.name for stage in stages]
    if again and "extract" not in names:
        raise InputError("--extract-again goes with `distspc run` and `distspc extract`: no other stage extracts")
    if "extract" in redone:
        return  # nothing of them stays
    gone = [layer for layer in run.study.layers if run.store.layer(layer).given_back]
    needed = {layer: [stage.name for stage in stages if _needs(run, stage, layer, redone)] for layer in gone}
    layers = gone if again and names == ["extract"] else [layer for layer in gone if needed[layer]]
    if not layers:
        return
    if not again:
        by = dict.fromkeys(name for layer in layers for name in needed[layer])
        raise InputError(_refusal(run, layers, list(by), "run" if "extract" in names else "extract"))
    run.require_writable()
    for layer in layers:
        ask_again(run.store, layer)


def refuse_update(study: StudyFile, images: StudyImages) -> None:
    """Refuse to make a study anew from activations of known images that were given back.

    Raises
    ------
    InputError
        Says what extracting them again costs.
    """
    if gone := [layer for layer in study.layers if study.stored.layer(layer).given_back]:
        raise InputError(
            f"--update keeps no activations of {shorten(gone)}, which were given back. `distspc run STUDY.yaml "
            f"--update --extract-again` makes them again, of all images: {cost_again(study, gone, images)}"
        )


def _needs(run: Run, stage: Stage, layer: str, redone: Collection[StageName]) -> bool:
    return stage.reads_activations(run.study) if stage.name in redone else stage.needs_activations(run, layer)


def _refusal(run: Run, layers: Sequence[str], stages: Sequence[str], command: str) -> str:
    nbytes = sum(run.store.layer(layer).attributes[GIVEN_BACK]["nbytes"] for layer in layers)
    return (
        f"{' and '.join(stages)} need{'s' * (len(stages) == 1)} the activations of {shorten(layers)}, which were given "
        f"back ({format_nbytes(nbytes)}). `distspc {command} STUDY.yaml --extract-again` makes them again: "
        f"{cost_again(run.study, layers, run.images)}"
    )


def cost_again(study: StudyFile, layers: Sequence[str], images: StudyImages) -> str:
    """Say what it costs to make some layers of a study again.

    Parameters
    ----------
    study
        The study.
    layers
        Layers of it.
    images
        Its images.
    """
    if study.activations is not None:
        there = {str(path): path.exists() for path in (imported_from(study, layer) for layer in layers)}
        gone = [path for path, exists in there.items() if not exists]
        return f"they come from {shorten(there)}" + (f"; {shorten(gone)} is not there any more" if gone else "")
    n_networks = sum(bool(network.own_names(layers)) for network in study.networks)
    try:
        n_targets, n_fillers = images.counts
    except InputError as error:
        return f"the images cannot be found any more ({error})"
    passes = counted(n_networks * (n_targets + n_fillers), "forward pass")
    part = study.model_copy(update={"layers": tuple(layers), "scaling": "none"})
    try:
        resources = profile_resources(study, None, (), DEFAULT_PROFILE)("extract")
        loads = STAGES["extract"].loads(part, Setting(n_targets, n_fillers, resources, Rates()))
    except InputError:  # of the network or the profile: said where they are needed
        return passes
    seconds = sum(plan.seconds for plan in hand_out("extract", loads, resources.n_workers)) if loads else 0.0
    return f"{passes}, about {format_duration(seconds)} on profile {resources.profile}"


def imported_from(study: StudyFile, layer: str) -> Path:
    """File or folder that a layer of imported activations came from."""
    source = study.activations
    assert source is not None
    if source.folder is not None:
        return source.folder / layer
    return Path(os.fspath(source.matrices(study.layers)[layer].file))
