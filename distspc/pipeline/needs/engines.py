"""`engine: auto` of a study, settled before anything is computed: one engine for all that a store holds."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from distspc.extraction.engines import may_be_vgg16
from distspc.study.file import Model, StudyFile

StudyT = TypeVar("StudyT", bound=StudyFile)
ModelT = TypeVar("ModelT", bound=Model)


def settle_engines(study: StudyT, has_gpu: Callable[[], bool] = lambda: False) -> StudyT:
    """Settle the engines of a study that leaves them to be chosen, and keep to them whatever its store becomes.

    Parameters
    ----------
    study
        The study.
    has_gpu
        Whether workers have a GPU, where Keras is the faster; asked only where nothing else settles the engine.

    Returns
    -------
    StudyFile
        The study itself where there is nothing to settle.
    """
    if study.activations is not None or all(one.engine != "auto" for one in study.models or (study.model,)):
        return study
    chosen = {one.model: one.options.engine for one in study.networks}
    on_gpu = "auto" in chosen.values() and has_gpu()

    def settled(model: ModelT, name: str = "") -> ModelT:
        engine = chosen.get(name, model.engine)
        if engine == "auto" and on_gpu:
            engine = "keras" if may_be_vgg16(model.weights) else None
        return model.model_copy(update={"engine": engine})

    if not study.models:
        return study.model_copy(update={"model": settled(study.model)})
    return study.model_copy(update={"models": tuple(settled(one, one.name) for one in study.models)})
