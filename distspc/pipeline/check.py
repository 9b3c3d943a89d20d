"""Everything about a study that can be known before it is computed, in one table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from distspc.errors import InputError
from distspc.io.columns import numeric_columns, read_table
from distspc.messages import counted, format_nbytes, shorten
from distspc.pipeline.comparison import refuse_other_results
from distspc.pipeline.needs.engines import settle_engines
from distspc.pipeline.needs.rounds import activation_peak, study_rounds
from distspc.pipeline.needs.sizes import refuse_unpooled_tokens
from distspc.pipeline.plan import GetResources, plan_whole
from distspc.study.images import StudyImages, check_sizes, match_study

if TYPE_CHECKING:
    from distspc.study.file import StudyFile
    from distspc.study.networks import StudyNetwork


class Finding(NamedTuple):
    """One line of the table: a subject, what is known of it, and whether a run would end over it with exit code 2."""

    subject: str
    text: str
    ends_run: bool = False


def check_study(study: StudyFile, resources: GetResources) -> list[Finding]:
    """Look at everything that a run will need; nothing is computed or written.

    Parameters
    ----------
    study
        The study.
    resources
        Gives what a stage runs on.

    Returns
    -------
    list of Finding
        Every problem, not the first alone.
    """
    with suppress(InputError):  # a profile that cannot be used is a finding
        study = settle_engines(study, lambda: resources("extract").gpu)
    return list(_Check(study).everything(resources))


def as_table(findings: Sequence[Finding]) -> pd.DataFrame:
    """Findings as a table: columns ``subject``, ``state`` (``ok`` or ``problem``) and ``finding``."""
    states = ["problem" if finding.ends_run else "ok" for finding in findings]
    return pd.DataFrame(
        {"subject": [f.subject for f in findings], "state": states, "finding": [f.text for f in findings]}
    )


def brief(study: StudyFile, images: StudyImages | None = None) -> list[str]:
    """Return what can be known at once, in a few lines; what is wrong is left to the stages, which refuse it."""
    check = _Check(study, images)
    parts = (check.images, check.pairs, check.network, check.disk, check.store)
    found = [finding for part in parts for i, finding in enumerate(_guarded(part)) if i == 0 or part == check.network]
    return [f"{finding.subject}: {finding.text}" for finding in found]


def _guarded(part: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """Findings of a part; one that cannot be looked at is a finding too."""
    name = part.__name__.replace("_", " ")
    try:
        yield from part()
    except InputError as error:
        yield Finding(name, str(error), True)


def _network_finding(network: StudyNetwork, n_images: int) -> Finding:
    from distspc.extraction.engines import ENGINE_NAMES
    from distspc.extraction.network import layer_shapes
    from distspc.extraction.preprocessing import in_words

    spec = network.resolved()
    with network.named_errors():
        shapes = layer_shapes(spec)
    refuse_unpooled_tokens(network, n_images)
    named = ", ".join(f"{layer} {' x '.join(map(str, shape))}" for layer, shape in shapes.items())
    engine = f" in {ENGINE_NAMES[spec.backend]}" if network.options.engine else ""
    text = f"{network.options.weights}{engine}, preprocessing {in_words(spec.preprocessing)}; layers: {named}"
    return Finding(network.titled("network"), text)


class _Check:
    def __init__(self, study: StudyFile, images: StudyImages | None = None) -> None:
        self.study, self.sources = study, images or StudyImages(study)

    def everything(self, resources: GetResources) -> Iterator[Finding]:
        parts = (self.images, self.files, self.pairs, self.columns, self.network, self.sizes, self.disk, self.stored)
        for part in parts:
            yield from _guarded(part)

        def cost() -> Iterator[Finding]:
            yield from self.cost(resources)

        yield from _guarded(cost)

    def images(self) -> Iterator[Finding]:
        n_targets, n_fillers = self.sources.counts
        what = "activations of " if self.study.activations is not None else ""
        yield Finding(
            "images", f"{what}{counted(n_targets, 'target')} and {counted(n_fillers, 'filler')}", n_targets == 0
        )

    def files(self) -> Iterator[Finding]:
        """Every image file, decoded."""
        from distspc.images.listing import inspect_image

        if self.study.activations is not None:
            return
        with ThreadPoolExecutor() as pool:
            records = list(pool.map(inspect_image, self.sources.listed))
        bad = [f"{one.file}: {one.reason}" for one in records if one.reason is not None]
        yield Finding("files", f"{len(bad)} cannot be used: {shorten(bad)}" if bad else "all can be read", bool(bad))
        by_digest: dict[str, list[str]] = {}
        for one in records:
            if one.reason is None:
                by_digest.setdefault(one.digest, []).append(one.image)
        same = [" = ".join(ids) for ids in by_digest.values() if len(ids) > 1]
        yield Finding(
            "duplicates", f"{counted(len(same), 'set of identical files')}: {shorten(same)}" if same else "none"
        )

    def pairs(self) -> Iterator[Finding]:
        from distspc.memorability.matching import match_notices

        scores = self.study.scores
        if scores is None:
            yield Finding("scores", "none: the study ends with the measures")
            return
        if self.study.images is None:
            yield Finding("scores", f"{scores.source.file}, matched by number once the activations are there")
            return
        match, images = match_study(self.study, self.sources.listed)
        yield from (Finding("scores", notice.text) for notice in match_notices(match, images))

    def columns(self) -> Iterator[Finding]:
        scores = self.study.scores
        if scores is None:
            return
        if scores.trials is not None:
            from distspc.memorability.score_source import described_responses

            yield from (Finding("responses", text) for text in described_responses(scores.source))
            return
        table = read_table(scores.source.file, what="scores")
        known = [scores.image, *scores.columns]
        others = [str(name) for name in table.columns if name not in known]
        numbers = [name for name in numeric_columns(table, but=known) if name in others]
        text = f"taken: {', '.join(scores.columns)}"
        if others:
            text += (
                f"; not named in `columns`: {shorten(others, most=20)} (numbers: {shorten(numbers, most=20) or 'none'})"
            )
        yield Finding("columns", text)

    def network(self) -> Iterator[Finding]:
        if self.study.activations is not None:
            yield Finding("network", "none: the activations are there")
            return
        for network in self.study.networks:
            yield _network_finding(network, sum(self.sources.counts))

    def sizes(self) -> Iterator[Finding]:
        check_sizes(self.study, *self.sources.counts)
        yield Finding("sizes", "the images are enough for the settings")

    def disk(self) -> Iterator[Finding]:
        study, n_images = self.study, sum(self.sources.counts)
        rounds = study_rounds(study, n_images)
        missing = [[layer for layer in layers if not study.stored.layer(layer).exists()] for layers in rounds]
        needed, several = activation_peak(study, missing, n_images), len(rounds) > 1
        place = next(path for path in (self.study.store, *self.study.store.parents) if path.exists())
        free = shutil.disk_usage(place).free
        text = (
            f"{format_nbytes(needed)} of activations to come{' at a time' if several else ''}, before compression; "
            f"{format_nbytes(free)} free at {place}"
        )
        yield Finding("disk", text + ("; warning: make room first" if needed > free else ""))

    def store(self) -> Iterator[Finding]:
        state = "goes on from what it holds" if self.study.store.exists() else "is to be made"
        yield Finding("store", f"{self.study.store} {state}")

    def stored(self) -> Iterator[Finding]:
        refuse_other_results(self.study, images=self.sources)
        yield from self.store()

    def cost(self, resources: GetResources) -> Iterator[Finding]:
        n_targets, n_fillers = self.sources.counts
        plan = plan_whole(self.study, n_targets=n_targets, n_fillers=n_fillers, resources=resources)
        for stage, own in plan.resources.items():
            most = max((one.task_nbytes for one in plan.stages if one.stage == stage), default=0)
            yield Finding(
                f"memory of {stage}", f"{format_nbytes(most)} a task; workers have {format_nbytes(own.memory_nbytes)}"
            )
        yield Finding("time", f"about {plan.makespan_s / 60:.0f} min for extract, distances and reconstruct")
