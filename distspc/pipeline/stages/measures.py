"""The further measures that a study names, layer by layer, and those of the images themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from distspc.errors import InputError
from distspc.pipeline.needs.sizes import n_features
from distspc.pipeline.needs.work import Load, Loads, Setting
from distspc.pipeline.stages.base import Comparison, Run, Seeds, usable_layers
from distspc.pipeline.stages.by_layer import LayerStage, allocated_layers
from distspc.store.format import schema

if TYPE_CHECKING:
    from typing import Any

    from dask.delayed import Delayed

    from distspc.measures.registry import ChosenMeasure
    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages


class Measures(LayerStage):
    """Further measures of every image."""

    name = "measures"
    makes = (schema.MEASURES, schema.REFERENCES)
    rests_on = ("extract", "measures")

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Look whether there is anything to compute, where nothing else is asked for."""
        if list(stages) == [self.name] and not study.measures:
            from distspc.measures.registry import MEASURES

            raise InputError(f"the study names no further measures; add `measures:` with any of {', '.join(MEASURES)}")

        if "extract" in stages and study.measures:
            n_images = sum(images.counts)
            problems = [(one.word, one.measure.problem(n_images, one.options)) for one in study.measures]
            if found := [f"measure {word}: {problem}" for word, problem in problems if problem]:
                raise InputError("; ".join(found))

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterator[tuple[str, Comparison]]:
        """Compare the settings of every measure."""
        from distspc.measures.build import recipe

        for one in study.measures:
            group = study.stored.measure(one.word)
            if group.exists():
                yield "", partial(group.refuse_other_recipe, recipe(one, study.scaling))

    def check_stored(self, study: StudyFile) -> None:
        """Look whether the activations are there."""
        if _of_layers(study):
            usable_layers(study)

    def reads_activations(self, study: StudyFile) -> bool:
        """Whether any measure is of activations; others are of the images themselves."""
        return bool(_of_layers(study))

    def layers(self, run: Run) -> Sequence[str]:
        """Layers that can be measured."""
        return usable_layers(run.study) if _of_layers(run.study) else []

    def apart(self, run: Run) -> Sequence[str]:
        """The images themselves."""
        return [""] if len(_of_layers(run.study)) < len(run.study.measures) else []

    def groups(self, study: StudyFile, layers: Sequence[str]) -> Sequence[str]:
        """Groups of the measures."""
        return [study.stored.measure(one.word).name for one in study.measures]

    def missing(self, run: Run, layer: str) -> Seeds:
        """Measures that are missing at a layer."""
        from distspc.measures import build

        return build.missing(run.store, layer, run.study.measures, run.study.scaling)

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Allocate the layer's rows."""
        from distspc.measures import build

        study = run.study
        build.prepare(run.store, layer, study.measures, study.scaling, layers=allocated_layers(run))

    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the tasks of every missing measure."""
        from distspc.measures import build

        wanted = [word for word in missing if isinstance(word, str)]
        return dict(build.tasks(run.store, layer, run.study.measures, run.study.scaling, wanted).items())

    def clean(self, run: Run) -> None:
        """Keep what is to be said of what was computed."""
        from distspc.measures import build

        for one in run.study.measures:
            if run.store.measure(one.word).name in run.written:
                build.note(run.store, one, run.study.layers)

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """How many measures are complete, layer by layer; those of the images first."""
        from distspc.measures import build

        for layer in ["", *study.layers]:
            if wanted := build.at_layer(study.measures, layer):
                yield layer, sum(build.is_complete(study.stored, layer, one) for one in wanted), len(wanted)

    def loads(self, study: StudyFile, setting: Setting) -> Loads | None:
        """The work of every measure at every layer, and of those of the images."""
        from distspc.measures.build import at_layer

        wanted = {layer: at_layer(study.measures, layer) for layer in ["", *study.layers]}
        chains = {
            layer: [load for one in some for load in _layer_loads(study, layer, one, setting)]
            for layer, some in wanted.items()
        }
        return Loads(tuple(chain for chain in chains.values() if chain)) if any(chains.values()) else None


def _of_layers(study: StudyFile) -> list[ChosenMeasure]:
    """Measures of activations."""
    return [one for one in study.measures if one.measure.needs == "activations"]


def _layer_loads(study: StudyFile, layer: str, chosen: ChosenMeasure, setting: Setting) -> list[Load]:
    from distspc.measures.base import Size

    size = Size(setting.n_images, n_features(study, layer) if layer else 0)
    return [
        setting.load("measures", layer, n_tasks, setting.worker_nbytes + nbytes, moved, flop)
        for n_tasks, nbytes, moved, flop in chosen.measure.work(size, chosen.options)
    ]
