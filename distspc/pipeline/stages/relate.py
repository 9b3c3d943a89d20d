"""The relations: correlations of the measures with the scores, made anew where what they rest on has changed."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.io.files import hex_digest
from distspc.memorability.options import RelateOptions
from distspc.pipeline.stages import readouts
from distspc.pipeline.stages.base import (
    Run,
    Seeds,
    Stage,
    measure_groups,
    missing_measures,
    stored_recipes,
    study_failures,
)
from distspc.store.failures import Failure, keep_failures
from distspc.store.format import schema
from distspc.store.notices import Notice, keep_notices
from distspc.study.images import check_predictions, check_related_columns, check_scores

if TYPE_CHECKING:
    from distspc.store.store import Store
    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages


WITHIN_CATEGORIES = (schema.WITHIN, schema.WITHIN_MEAN, schema.MIXED)
"""Groups that there are where a study relates within categories."""


class Relate(Stage):
    """Correlations with the scores; they take seconds, so no cluster is needed."""

    name = "relate"
    makes = (
        *(schema.RELATIONS, schema.MODELS, schema.COMPARISONS, schema.SCORES, schema.RELIABILITY),
        *(schema.READOUT, schema.PREDICTED, *WITHIN_CATEGORIES),
    )
    rests_on = ("extract", "distances", "reconstruct", "measures", "readout", "relate")
    imports = ("distspc.memorability.relations", "xarray", "dask.array")

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Read the scores, and find their images."""
        if study.scores is not None:
            listed = images.listed if study.images is not None else None
            check_scores(study, listed)
            check_predictions(study, listed)
            check_related_columns(study, listed)
        elif list(stages) == ["relate"]:
            raise InputError("the study names no scores to relate to; add `scores:` with `file`, `image` and `columns`")

    def missing(self, run: Run, layer: str) -> Seeds:
        """Whether the relations are to be made, for the first time or anew."""
        return [] if run.study.scores is None or relations_are_current(run.study) else [None]

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Remove relations of before, and readouts, which rest on their scores: their being there says that all is."""
        run.store.readout.remove()
        run.store.relations.remove()

    def run(self, run: Run) -> None:
        """Relate all measures that there are to the scores."""
        study, scores = run.study, run.study.scores
        if scores is None or not self.missing(run, ""):
            return
        from distspc.memorability import relations  # not for a study that is done: it takes long to import

        run.require_writable(activations=False)
        self.prepare(run, "")
        given, control, lost = _controls(study)
        if given is None:
            error = InputError("no layer has a measure")
            keep_failures(run.store, self.name, [Failure.of(self.name, "", None, error)])
            return
        run.progress("relate", 0, 1)
        run.written.add(schema.RELATIONS)
        relations.relate(
            study.store,
            layers=study.layers,
            seeds=study.reconstruction.seeds,
            measures=study.shown["measures"],
            scores_file=scores.source.file,
            image_column=scores.image,
            columns=scores.columns,
            missing=scores.missing,
            trials=scores.source.trials,
            **{**asdict(study.relate.options), "given": given, "control": control},
            score_reliability=scores.reliability,
            recipe=relation_recipe(study),
        )
        keep_failures(run.store, self.name, [])
        notices = [Notice(f"{name} is not controlled for: it could not be computed.", warning=True) for name in lost]
        keep_notices(run.store.relations, "given", notices)
        run.progress("relate", 1, 1)
        run.outcome.computed["relate"] = 1
        if readouts.are_asked(study):
            readouts.read_out(run, relation_recipe(study))

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """Whether the relations rest on what is there now; nothing without scores."""
        if study.scores is not None:
            yield "", int(relations_are_current(study)), 1


def _controls(study: StudyFile) -> tuple[list[str] | None, list[str], list[str]]:
    """Controls that there are, None if there is no measure at all; and those that failed with their layer.

    The first are `given`, the second `control`.
    """
    from distspc.results.measures import flat_table, wide_table
    from distspc.results.tidy import labelled_table

    failed = {one.layer for one in study_failures(study)}
    given, control = list(study.relate.given), list(study.relate.control)
    if not failed:
        return given, control, []
    table = labelled_table(study.store)
    known = flat_table(wide_table(table[table["layer"].isin(study.layers)])).columns
    lost = [name for name in (*given, *control) if _is_lost(name, known, failed)]
    given, control = ([name for name in names if name not in lost] for names in (given, control))
    return (given if len(known) else None), control, lost


def _is_lost(name: str, known: Collection[str], failed: Collection[str]) -> bool:
    """Whether a control is a measure that failed with its layer, or with the images where it has none."""
    from distspc.memorability.controls import ALIASES
    from distspc.results.measures import MEASURES, split_label

    measure, layer = split_label(ALIASES.get(name, name))
    return measure in MEASURES and layer in failed and not {name, ALIASES.get(name, name)} & {*known}


# ---------------------------------------------------------------- what they rest on


def relation_recipe(study: StudyFile) -> dict[str, Any]:
    """What the relations of a study rest on: the scores, the settings, and the measures' own recipes."""
    scores = study.scores
    if scores is None:
        return {}
    return json.loads(
        json.dumps(
            {
                "scores": _digest(Path(scores.source.file)),
                "image": scores.image,
                "names": _names_digest(study.stored),
                "columns": scores.columns,
                **({"missing": scores.missing} if scores.missing else {}),
                **({"trials": asdict(scores.source.trials)} if scores.source.trials else {}),
                "reliability": dict(scores.reliability),
                "layers": study.layers,
                "relate": _asked_for(study.relate.model_dump(exclude={"readout", "predictions"})),
                **readouts.recipe(study),
                "seeds": study.reconstruction.seeds,
                "measures": stored_recipes(study, measure_groups(study)),
                **missing_measures(study),
            }
        )
    )


def _asked_for(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings without those that came later, where they ask for nothing: older stores lack them."""
    nothing = {"control": (), "within": None, "test": RelateOptions.test, "permutations": RelateOptions.n_permutations}
    return {key: value for key, value in settings.items() if key not in nothing or value != nothing[key]}


def relations_are_current(study: StudyFile) -> bool:
    """Whether the relations are there, no chunk of them is missing, and they rest on what is there now."""
    store, groups = study.stored, _groups_of(study)
    if not all(store[group].exists() for group in groups):
        return False
    known, wanted = store.relations.attributes.get("recipe", {}), relation_recipe(study)
    if "names" not in known:  # stores from before it was kept
        wanted.pop("names", None)
    elif known["names"] != wanted.get("names") and known["names"] == _names_digest(store, absolute=True):
        wanted["names"] = known["names"]  # stores from when it was of whole paths
    if known != wanted:
        return False
    return all(store[group].complete() for group in groups)


def _groups_of(study: StudyFile) -> list[str]:
    """Groups that the relations of a study have: some are made only where it asks for them."""
    responses = study.scores is not None and study.scores.trials is not None
    within = dict.fromkeys(WITHIN_CATEGORIES, study.relate.within is not None)
    asked = {
        schema.RELIABILITY: responses,
        schema.READOUT: readouts.are_asked(study),
        schema.PREDICTED: False,
        **within,
    }
    return [group for group in Relate.makes if asked.get(group, True)]


def relations_are_shown(study: StudyFile) -> bool:
    """Whether a reader is to see the relations that are there."""
    try:
        return study.scores is not None and relations_are_current(study)
    except InputError:  # the scores are gone; the results outlive them
        return True


def _digest(path: Path) -> str:
    try:
        return hex_digest(path)
    except OSError as error:
        raise InputError(f"the scores {path} cannot be read: {error.strerror}") from None


def _names_digest(store: Store, *, absolute: bool = False) -> str:
    """Digest of all that decides, beside the scores, which image gets which score: names and numbers of images.

    Paths count from the folder that holds all images: a study may move as a whole.
    """
    names = ("role", "number", "file")
    known = {
        group: [store[group].read(name).tolist() for name in names]
        for group in (schema.IMAGES, schema.SKIPPED)
        if store[group].exists()
    }
    if not absolute:
        files = [file for columns in known.values() for file in columns[-1]]
        if files and all(map(os.path.isabs, files)):
            root = os.path.commonpath([os.path.dirname(file) for file in files])
            known = {g: [*rest, [os.path.relpath(file, root) for file in last]] for g, (*rest, last) in known.items()}
    return hex_digest(json.dumps(known).encode())
