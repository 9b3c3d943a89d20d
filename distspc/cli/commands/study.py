"""Commands of a study: run it, look at it, take its results."""

from __future__ import annotations

import gc
import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from distspc.cli.dialogue.speech import echo_done, echo_text, is_quiet, note, warn
from distspc.cli.usage.help import LOOK, RUN, examples
from distspc.cli.usage.options import (
    AgainOption,
    OptionalStudy,
    PerformanceOption,
    ProfileOption,
    RedoOption,
    RunOptions,
    SetOption,
    StrictOption,
    StudyArgument,
    UpdateOption,
)
from distspc.errors import InputError
from distspc.memorability.options import METHODS, Interval, Method, RelateOptions, Test
from distspc.messages import counted

if TYPE_CHECKING:
    from distspc.pipeline.run import Outcome
    from distspc.study.file import StageName

PlanFormat = Literal["table", "json"]

commands = typer.Typer()


def _run(path: Path, stages: Sequence[StageName], options: RunOptions) -> None:
    from distspc.cli.dialogue.output import print_dashboard, summary, warning_texts
    from distspc.cli.dialogue.progress import progress_bars
    from distspc.pipeline.check import brief
    from distspc.pipeline.connections import Clusters
    from distspc.pipeline.needs.engines import settle_engines
    from distspc.pipeline.run import Study, run_stages
    from distspc.study.file import STAGES
    from distspc.study.images import StudyImages

    _refuse_idle_options(stages, options)
    study = Study.from_file(path)
    images = StudyImages(study)
    report = options.performance_report
    if report is not None and not report.absolute().parent.is_dir():
        raise InputError(f"there is no folder for the performance report {report}; make it first")
    clusters_of = Clusters(
        study, options.profile, options.overrides, name=path.stem, performance_report=report, opened=print_dashboard
    )
    study = settle_engines(study, lambda: clusters_of.has_gpu("extract"))
    with clusters_of as clusters, progress_bars() as progress:
        if len(stages) == len(STAGES):
            for line in brief(study, images):
                note(line)
        outcome = run_stages(
            study,
            clusters,
            stages=stages,
            strict=options.strict,
            redo=options.redo,
            extract_again=options.extract_again,
            update=options.update,
            progress=progress,
            images=images,
            place=clusters.profile_of,
        )
    echo_done(summary(study, outcome))
    if is_quiet():
        for text in warning_texts(study):
            warn(text)
    _finish(outcome)


def _refuse_idle_options(stages: Sequence[StageName], options: RunOptions) -> None:
    """Refuse options that would do nothing: a stage without a cluster, or one that reads no images."""
    from distspc.pipeline.stages.registry import ON_CLUSTER

    of_clusters = {
        "--profile": options.profile, "--set": options.overrides, "--performance-report": options.performance_report
    }  # fmt: skip
    idle = [name for name, value in of_clusters.items() if value and not set(ON_CLUSTER) & set(stages)]
    of_extract = {"--strict": options.strict, "--extract-again": options.extract_again}
    idle += [name for name, value in of_extract.items() if value and "extract" not in stages]
    if idle:
        raise InputError(f"{', '.join(idle)} has no effect on `distspc {' '.join(stages)}`: leave it out")


def _finish(outcome: Outcome) -> None:
    from distspc.cli.dialogue.output import printable

    for file, reason in outcome.skipped[:20]:
        warn(f"skipped: {printable(file)}: {reason}")
    if len(outcome.skipped) > 20:
        warn(f"... and {len(outcome.skipped) - 20} more")
    if outcome.skipped:
        warn(
            f"{counted(len(outcome.skipped), 'image')} could not be used; everything else is done. Fix or remove these "
            "files and rerun with --update to include them."
        )
    for failure in outcome.failures:
        warn(f"failed: {failure.title}: {failure.reason}")
    if outcome.failures:
        warn(
            f"{counted(len(outcome.failures), 'part of the study')} could not be computed; everything else is done. "
            "Fix the cause and run the same command again: it retries only what failed."
        )
    if outcome.skipped or outcome.failures:
        raise typer.Exit(2)


def _computing(name: StageName, text: str, *examples_of_it: str) -> Callable[..., None]:
    """Make a command that computes one stage of a study."""

    def compute(
        study: StudyArgument,
        profile: ProfileOption = None,
        overrides: SetOption = None,
        strict: StrictOption = False,
        redo: RedoOption = False,
        extract_again: AgainOption = False,
        performance_report: PerformanceOption = None,
    ) -> None:
        options = RunOptions(profile, tuple(overrides or ()), strict, redo, extract_again, performance_report)
        _run(study, [name], options)

    shown = examples(f"{name} study.yaml", *(f"{name} {line}" for line in examples_of_it))
    return commands.command(name, help=text, rich_help_panel=RUN, epilog=shown)(compute)


@commands.command(
    rich_help_panel=RUN,
    epilog=examples(
        "run study.yaml",
        "run study.yaml --profile slurm-cpu --set workers=64",
        "run study.yaml --quiet --log-file run.log",
        "run study.yaml --update",
    ),
)
def run(
    study: StudyArgument,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    redo: RedoOption = False,
    extract_again: AgainOption = False,
    update: UpdateOption = False,
    performance_report: PerformanceOption = None,
) -> None:
    """Run the whole study: all that is not done yet.

    What is done already is kept: after any stop, run it again to go on.
    """
    from distspc.study.file import STAGES

    options = RunOptions(profile, tuple(overrides or ()), strict, redo, extract_again, performance_report, update)
    _run(study, STAGES, options)


_computing(
    "extract",
    "Pass the images through the network.\n\nAll requested layers are taken in one pass.",
    "study.yaml --profile slurm-gpu",
)
_computing("distances", "Find every target's nearest neighbour, layer by layer.", "study.yaml --redo")
_computing("reconstruct", "Fit sparse codes; give every image's reconstruction error.", "study.yaml --set workers=8")
_computing("measures", "Compute the further measures that `measures:` names.", "study.yaml --redo")
_computing(
    "readout",
    "Make the Gram matrices that linear readouts need.\n\nThey are made where `relate:` has `readout: true`.",
    "study.yaml --profile slurm-cpu",
)


@commands.command(rich_help_panel=RUN, epilog=examples("report study.yaml", "report study.yaml --open"))
def report(
    study: StudyArgument,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    redo: RedoOption = False,
    extract_again: AgainOption = False,
    performance_report: PerformanceOption = None,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write the figures and the page."""
    options = RunOptions(profile, tuple(overrides or ()), strict, redo, extract_again, performance_report)
    try:
        _run(study, ["report"], options)
    except typer.Exit:  # parts of the study failed: the page says which
        _show_page(study, open_it)
        raise
    _show_page(study, open_it)


def _show_page(study: Path, open_it: bool) -> None:
    if open_it:
        from distspc.cli.dialogue.browser import open_page
        from distspc.study.file import StudyFile

        typer.echo(open_page(StudyFile.from_file(study).report), err=True)


@commands.command(
    rich_help_panel=RUN,
    epilog=examples(
        "relate study.yaml",
        "relate --measures results.csv --scores scores.csv --by image",
        "relate --measures a.csv --scores b.csv --by file=picture --score hit",
    ),
)
def relate(
    context: typer.Context,
    study: OptionalStudy = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    redo: RedoOption = False,
    measures: Annotated[Path | None, typer.Option("--measures", metavar="CSV", help="Table of measures.")] = None,
    scores: Annotated[Path | None, typer.Option("--scores", metavar="CSV", help="Table of scores.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Column that names the image.")] = None,
    score: Annotated[list[str] | None, typer.Option("--score", help="Score column; repeatable.")] = None,
    measure: Annotated[list[str] | None, typer.Option("--measure", help="Measure column; repeatable.")] = None,
    given: Annotated[list[str] | None, typer.Option("--given", help="Control measure; repeatable.")] = None,
    method: Annotated[Method, typer.Option("--method", help="Kind of correlation.")] = METHODS[0],
    bootstrap: Annotated[
        int, typer.Option("--bootstrap", min=10, help="Bootstrap resamples.")
    ] = RelateOptions.n_bootstrap,
    interval: Annotated[Interval, typer.Option("--interval", help="Kind of bootstrap CI.")] = RelateOptions.interval,
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="ENTRY", help="Entry that means a missing value; repeatable."),
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option("--control", metavar="COLUMN", help="Control column, labels as fixed effects; repeatable."),
    ] = None,
    within: Annotated[
        str | None,
        typer.Option("--within", metavar="COLUMN", help="Correlate within each label of this column too."),
    ] = None,
    test: Annotated[
        Test, typer.Option("--test", help="permutation: a permutation test beside the bootstrap's p.")
    ] = RelateOptions.test,
    permutations: Annotated[
        int, typer.Option("--permutations", min=10, help="Permutations of that test.")
    ] = RelateOptions.n_permutations,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="CSV", help="Write the table to this file.")
    ] = None,
) -> None:
    """Correlate measures with memorability scores.

    They are of a study, or of any two tables (--measures, --scores, --by).
    """
    _refuse_mixture(context, of_study=study is not None)
    if study is not None:
        _run(study, ["relate"], RunOptions(profile, tuple(overrides or ()), redo=redo))
        return
    if measures is None or scores is None or by is None:
        raise InputError("give a study file, or --measures CSV --scores CSV --by COLUMN")
    from distspc.cli.dialogue.output import p_of_step, table
    from distspc.memorability.two_tables import relate_tables

    frame = relate_tables(
        measures,
        scores,
        by=by,
        scores=score or None,
        measures=measure or None,
        given=tuple(given or ()),
        method=method,
        n_bootstrap=bootstrap,
        interval=interval,
        control=tuple(control or ()),
        within=within,
        test=test,
        n_permutations=permutations,
        missing=[entry for text in missing or () for entry in (part.strip() for part in text.split(",")) if entry],
    )
    for sentence in frame.attrs["notices"]:
        note(sentence)
    further = {name: frame.attrs[name] for name in ("within_mean", "within", "mixed") if name in frame.attrs}
    if output is not None:
        frame.to_csv(output, index=False)
        for name, part in further.items():
            part.to_csv(output.with_name(f"{output.stem}_{name}{output.suffix}"), index=False)
    undefined = ["undefined"] if frame["undefined"].any() else []
    tested = ["p_permutation"] if test == "permutation" else []
    columns = ["measure", "given", "score", "method", "n", "r", "ci_low", "ci_high", "p", *tested, "p_holm", *undefined]
    shown = frame.assign(p=[p_of_step(p, step) for p, step in zip(frame["p"], frame["p_resolution"], strict=True)])
    echo_text(table(shown[columns]))
    note(f"Holm's correction counts {frame['family'].iloc[0]}; p is of {counted(bootstrap, 'resample')}.")
    for name, part in further.items():
        echo_text(f"\n{_FURTHER[name]}:\n{table(part)}" if len(part) else f"\n{_FURTHER[name]}: none")


_FURTHER = {
    "within_mean": "Mean of the correlations within each label (Fisher's z)",
    "within": "Correlations within each label",
    "mixed": "Mixed models with a random intercept for each label (standardised)",
}

_RELATE_OF_STUDY = ("profile", "overrides", "redo")


def _refuse_mixture(context: typer.Context, *, of_study: bool) -> None:
    """Refuse options of `relate` that belong to its other form, naming them."""
    named = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name != "study"
        and parameter.expose_value  # not those of every command
        and (parameter.name in _RELATE_OF_STUDY) != of_study
        and str(getattr(context.get_parameter_source(str(parameter.name)), "name", "")) == "COMMANDLINE"
    ]
    if named and of_study:
        raise InputError(
            f"relate: {', '.join(named)} belong to two tables, not to a study; "
            "set `scores:` and `relate:` in the study file, or leave the study out and give --measures, --scores, --by"
        )
    if named:
        raise InputError(f"relate: {', '.join(named)} belong to a study, not to two tables; leave them out")


@commands.command(rich_help_panel=LOOK, epilog=examples("status study.yaml"))
def status(study: StudyArgument) -> None:
    """Show what is done and what is left, by stage and layer."""
    with _uncollected():
        from distspc.cli.dialogue.output import status_table
        from distspc.pipeline.run import Study
        from distspc.store.replacement import staged_store

        loaded = Study.from_file(study)
        echo_text(status_table(loaded.status()))
        begun = staged_store(loaded.stored)
        if begun.exists():
            echo_text(f"an update has begun in {begun}: `distspc run {study} --update` goes on with it")


@contextmanager
def _uncollected() -> Iterator[None]:
    """Leave garbage where it is in what ends soon: looking for it takes a tenth of the time of the imports."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@commands.command(rich_help_panel=LOOK, epilog=examples("check study.yaml", "check study.yaml --profile slurm-cpu"))
def check(study: StudyArgument, profile: ProfileOption = None, overrides: SetOption = None) -> None:
    """Look at all that a run will need; nothing is computed.

    That is images, scores, network, sizes, disk, memory and time.
    """
    from distspc.cli.dialogue.output import table
    from distspc.pipeline.check import as_table, check_study
    from distspc.pipeline.connections import DEFAULT_PROFILE
    from distspc.pipeline.plan import profile_resources
    from distspc.pipeline.run import Study

    found = Study.from_file(study)
    resources = profile_resources(found, profile, tuple(overrides or ()), DEFAULT_PROFILE)
    findings = check_study(found, resources)
    echo_text(table(as_table(findings)))
    if any(finding.ends_run for finding in findings):
        raise typer.Exit(2)


@commands.command(
    rich_help_panel=LOOK,
    epilog=examples(
        "plan study.yaml",
        "plan study.yaml --profile slurm-cpu --set workers=64",
        "plan study.yaml --format json",
    ),
)
def plan(
    study: StudyArgument,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    form: Annotated[PlanFormat, typer.Option("--format", help="A table to read, or JSON.")] = "table",
    gflops: Annotated[
        float | None,
        typer.Option("--gflops", help="GFLOP/s of a core's float32 products, in place of a measurement here."),
    ] = None,
    update: UpdateOption = False,
) -> None:
    """Show what a study will cost: tasks, memory, bytes, time.

    What cannot fit on the profile is refused.
    """
    from distspc.cli.dialogue.output import plan_text
    from distspc.pipeline.run import Study

    if gflops is not None and not 0 < gflops < math.inf:
        raise InputError(f"--gflops {gflops:g} must be a number above 0")
    loaded = Study.from_file(study)
    found = loaded.plan(profile=profile, overrides=tuple(overrides or ()), gflops_per_core=gflops, update=update)
    echo_text(json.dumps(found.as_dict(), indent=2) if form == "json" else plan_text(loaded, found))


@commands.command(
    rich_help_panel=LOOK, epilog=examples("export study.yaml results", "export study.yaml results --seed 1")
)
def export(
    study: StudyArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")],
    seed: Annotated[
        int | None, typer.Option("--seed", help="Whose reconstruction error; the first by default.")
    ] = None,
) -> None:
    """Write the results as files.

    There are the authors' layout and a tidy table, results.csv.
    """
    from distspc.pipeline.comparison import refuse_other_results
    from distspc.pipeline.run import Study
    from distspc.pipeline.stages.report import shown_results
    from distspc.results.authors_layout import export_results

    loaded = Study.from_file(study)
    refuse_other_results(loaded)
    shown = shown_results(loaded)
    if loaded.scores is not None and not shown["with_scores"]:
        note("no correlations of these scores and settings yet: run `distspc relate` to have them")
    for path in export_results(loaded.store, directory, seed=seed, **shown):
        echo_text(str(path))


@commands.command(rich_help_panel=LOOK, epilog=examples("verify study.yaml"))
def verify(study: StudyArgument) -> None:
    """Read every chunk of the store against its checksum.

    Damaged ones are named and removed, to be made again by the next run.
    """
    from distspc.pipeline.run import Study
    from distspc.store.access import lock
    from distspc.store.verify import remove_damaged, remove_partial_chunks

    store = Study.from_file(study).stored
    with lock(store):
        bad = remove_damaged(store)
        remove_partial_chunks(store, everywhere=True)
    for file in bad:
        echo_text(f"damaged, removed: {file}")
    echo_text(counted(len(bad), "damaged chunk") + ("; run the study again to make them anew" if bad else ""))
    if bad:
        raise typer.Exit(1)
