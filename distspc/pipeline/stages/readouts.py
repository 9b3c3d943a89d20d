"""How well scores are read out of activations and measures, and predicted by others: made with the correlations."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.io.files import hex_digest
from distspc.kernels.statistics import ridge
from distspc.memorability.options import ReadoutOptions
from distspc.messages import shorten
from distspc.pipeline.stages.base import Run, complete_results
from distspc.store.format import schema
from distspc.store.notices import Notice

if TYPE_CHECKING:
    import pandas as pd

    from distspc.memorability.readout import Source
    from distspc.study.file import StudyFile

MOST_FLOP_HERE = 5e11
"""Operations, in float64, that are not worth a cluster of their own: some 20 seconds of a core."""


def are_asked(study: StudyFile) -> bool:
    """Whether a study asks for readouts, or brings predictions to stand beside the correlations."""
    return study.relate.readout is not None or study.relate.predictions is not None


def recipe(study: StudyFile) -> dict[str, Any]:
    """What readouts and predictions rest on beside scores and measures; empty where there are none."""
    found: dict[str, Any] = {}
    if study.relate.readout is not None:
        found["readout"] = {**asdict(study.relate.readout.options), "layers": layers_with_gram(study)}
    if study.relate.predictions is not None:
        source = study.relate.predictions.source
        found["predictions"] = {**asdict(source), "file": None if source.file is None else _digest(Path(source.file))}
        found["predictions"]["of_images"] = _image_columns(study) if source.file is None else ""
    return found


def _digest(path: Path) -> str:
    try:
        return hex_digest(path)
    except OSError as error:
        raise InputError(f"the predictions {path} cannot be read: {error.strerror}") from None


def _image_columns(study: StudyFile) -> str:
    """Digest of the columns of the image table that are predictions."""
    images, source = study.stored.images, study.relate.predictions
    names = [name for name in source.columns if images.exists() and images.has(name)] if source is not None else []
    return hex_digest(json.dumps([[name, images.read(name).tolist()] for name in names]).encode())


def layers_with_gram(study: StudyFile) -> list[str]:
    """Layers whose Gram matrix is there."""
    done = complete_results(study, schema.GRAM, layer=study.layers)
    return [layer for layer, there in zip(study.layers, done, strict=True) if there]


def read_out(run: Run, rests_on: Mapping[str, Any]) -> None:
    """Read scores out of every layer that has a Gram matrix and of all measures, and keep the table.

    Parameters
    ----------
    run
        The run; its store holds the correlations.
    rests_on
        The recipe of the correlations, kept with the table.
    """
    import pandas as pd

    from distspc.memorability import readout
    from distspc.memorability.predictions import read_predictions

    study, store, notices = run.study, run.store, list[Notice]()
    scores = readout.related_scores(store)
    options = ReadoutOptions() if study.relate.readout is None else study.relate.readout.options
    sources = [] if study.relate.readout is None else _sources(run, scores, options, notices)
    brought = pd.DataFrame(index=scores.index)
    if study.relate.predictions is not None:
        source = study.relate.predictions.source
        brought, more = read_predictions(store, source, None if study.scores is None else study.scores.source)
        notices += more
    table = readout.readout_table(sources, brought, scores, options, study.relate.options)
    notices += readout.readout_notices(table, scores, options)
    readout.write_readout(store, table, recipe=rests_on, notices=notices)


def _sources(run: Run, scores: pd.DataFrame, options: ReadoutOptions, notices: list[Notice]) -> list[Source]:
    """Compute what is not there of the readouts of activations, and those of all measures together."""
    from distspc.memorability import readout

    study, store, layers = run.study, run.store, layers_with_gram(run.study)
    without = [layer for layer in study.layers if layer not in layers]
    if without:
        text = f"No readout of {shorten(without)}: no Gram matrix is there; `distspc readout` makes it."
        notices.append(Notice(text, warning=True))
    wanted = readout.missing(store, layers, scores, options) if layers else []
    if wanted:
        readout.prepare(store, layers, scores, options)
    frame, sets = readout.joint_sets(
        store, layers=study.layers, seeds=study.reconstruction.seeds, measures=study.shown["measures"]
    )
    tasks = readout.tasks(store, wanted, scores, options) if wanted else []
    tasks += readout.joint_tasks(frame, sets, scores, options)
    flop = len(tasks) * ridge.flop(len(scores), options.n_folds, len(options.penalties))
    client = run.connect("readout") if flop > MOST_FLOP_HERE else None
    results = run.compute(tasks, client, "readouts", gather=True)
    joint = zip(sets.items(), results[len(wanted) :], strict=True)
    together = [readout.Source("measures", ", ".join(names), layer, found) for (layer, names), found in joint]
    return readout.stored_sources(store, layers) + together
