"""The report: figures and the page, written anew where what they show has changed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError
from distspc.io.files import explain_unwritable, hex_digest
from distspc.pipeline.stages.base import (
    Run,
    Seeds,
    Stage,
    measure_groups,
    missing_measures,
    stored_recipes,
    study_failures,
)
from distspc.pipeline.stages.relate import relations_are_shown
from distspc.store.format import schema
from distspc.version import VERSION

if TYPE_CHECKING:
    from distspc.study.file import Shown, StageName, StudyFile
    from distspc.study.images import StudyImages


class Report(Stage):
    """Figures and the page."""

    name = "report"
    rests_on = ("extract", "distances", "reconstruct", "measures", "readout", "relate", "report")
    imports = ("distspc.report.page", "distspc.results.plot.figures")

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Look whether the page can be written."""
        if study.report.is_dir():
            raise InputError(f"the report {study.report} is a folder; name a file as `report:`")

    def missing(self, run: Run, layer: str) -> Seeds:
        """Whether the page is to be written, for the first time or anew."""
        return [] if report_is_current(run.study) else [None]

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Nothing: the page is written beside, then renamed."""

    def run(self, run: Run) -> None:
        """Write the page."""
        study = run.study
        run.outcome.report = study.report
        if not self.missing(run, ""):
            return
        from distspc.report.page import write_report  # not for a study that is done: it takes long to import

        run.require_writable(activations=False)
        self.prepare(run, "")
        run.progress("report", 0, 1)
        digest = fingerprint(study)
        shown = shown_results(study)
        with explain_unwritable(f"the report {study.report}", "name another file as `report:`; the results stay"):
            write_report(study.store, study.report, fingerprint=digest, figure=study.report_measures, **shown)
        run.store.set_attributes(report=digest)
        run.progress("report", 1, 1)
        run.outcome.computed["report"] = 1

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """Whether the page shows what is there now."""
        yield "", int(report_is_current(study)), 1


def shown_results(study: StudyFile) -> Shown:
    """What is shown of the store: what the study asks for, and correlations only where they rest on what is asked."""
    return {**study.shown, "with_scores": relations_are_shown(study)}


def fingerprint(study: StudyFile) -> str:
    """Digest of all that the report of a study shows: the recipes of everything in the store, and what failed."""
    from distspc.report.problems import left_out

    groups = [schema.IMAGES, schema.SKIPPED, *(study.stored.layer(name).name for name in study.layers)]
    with_scores = relations_are_shown(study)
    related = [schema.RELATIONS] if with_scores else []
    known = stored_recipes(study, [*groups, *measure_groups(study), *related])
    holes: list[Any] = [missing_measures(study), *(one.sentence for one in study_failures(study))]
    if notices := left_out(study.stored, study.layers, with_scores=with_scores):
        holes.append(notices)
    if study.report_measures:
        holes.append(study.report_measures)
    shown = [VERSION, study.layers, study.reconstruction.seeds, known, *filter(None, holes)]
    return hex_digest(json.dumps(shown, sort_keys=True).encode())


def report_is_current(study: StudyFile) -> bool:
    """Whether the report is there, this study's and no other's, and was made from what is in the store now."""
    digest = fingerprint(study)
    if not study.report.exists() or study.stored.attributes.get("report") != digest:
        return False
    with study.report.open(encoding="utf-8", errors="replace") as page:
        return f'content="{digest}"' in page.read(10_000)
