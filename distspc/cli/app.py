"""The command line: commands only; everything they do can be done from Python too."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from distspc import __version__
from distspc.errors import DistspcError, InputError

if TYPE_CHECKING:
    from distspc.pipeline import Outcome
    from distspc.study import StageName

app = typer.Typer(
    help="Distinctiveness and sparse-coding reconstruction error of images, related to their memorability.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
)

StudyArgument = Annotated[Path, typer.Argument(metavar="STUDY.yaml", help="The study file.")]
ProfileOption = Annotated[
    str | None,
    typer.Option(
        "--profile", "-p", metavar="PROFILE", help="Where to compute: a profile's name or file, or an address."
    ),
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override one key of the profile; repeatable.")
]
StrictOption = Annotated[bool, typer.Option("--strict", help="Stop at the first image that cannot be used.")]
RedoOption = Annotated[bool, typer.Option("--redo", help="Throw away what this makes, and what rests on it, first.")]
PerformanceOption = Annotated[
    Path | None,
    typer.Option("--performance-report", metavar="FILE.html", help="Keep Dask's own report, one of each cluster."),
]


def _say(text: str = "") -> None:
    typer.echo(text)


def _run(
    path: Path,
    stages: Sequence[StageName],
    *,
    profile: str | None,
    overrides: Sequence[str] | None,
    strict: bool,
    redo: bool,
    performance_report: Path | None,
) -> None:
    from distspc.check import brief
    from distspc.console import Clusters, progress_bars, summary
    from distspc.pipeline import Study, run_stages
    from distspc.study import STAGES

    _refuse_idle_options(
        stages,
        {"--profile": profile, "--set": overrides, "--performance-report": performance_report},
        {"--strict": strict},
    )
    study = Study.from_file(path)
    if performance_report is not None and not performance_report.absolute().parent.is_dir():
        raise InputError(f"there is no folder for the performance report {performance_report}; make it first")
    with (
        Clusters(
            study, profile, tuple(overrides or ()), name=path.stem, performance_report=performance_report
        ) as clusters,
        progress_bars() as progress,
    ):
        if len(stages) == len(STAGES):
            for line in brief(study):
                typer.echo(line, err=True)
        outcome = run_stages(study, clusters, stages=stages, strict=strict, redo=redo, progress=progress)
    _say(summary(study, outcome))
    _finish(outcome)


def _refuse_idle_options(
    stages: Sequence[StageName], of_clusters: Mapping[str, object], of_images: Mapping[str, object]
) -> None:
    """Refuse options that would do nothing: a stage without a cluster, or one that reads no images."""
    computing = {"extract", "distances", "reconstruct"} & set(stages)
    idle = [name for name, value in of_clusters.items() if value and not computing]
    idle += [name for name, value in of_images.items() if value and "extract" not in stages]
    if idle:
        raise InputError(f"{', '.join(idle)} has no effect on `distspc {' '.join(stages)}`: leave it out")


def _finish(outcome: Outcome) -> None:
    from distspc.console import printable

    for file, reason in outcome.skipped[:20]:
        typer.echo(f"left out: {printable(file)}: {reason}", err=True)
    if len(outcome.skipped) > 20:
        typer.echo(f"... and {len(outcome.skipped) - 20} more", err=True)
    if outcome.skipped:
        typer.echo(
            f"{len(outcome.skipped)} images could not be used; everything else is done. "
            "Mend or remove these files and run again with --redo to take them in.",
            err=True,
        )
    for failure in outcome.failures:
        typer.echo(f"failed: {failure.title}: {failure.reason}", err=True)
    if outcome.failures:
        n = len(outcome.failures)
        typer.echo(
            f"{n} {'part' if n == 1 else 'parts'} of the study could not be computed; everything else is done. "
            "Run the same command again once this is mended: it tries only what failed.",
            err=True,
        )
    if outcome.skipped or outcome.failures:
        raise typer.Exit(2)


@app.command()
def run(
    study: StudyArgument,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    strict: StrictOption = False,
    redo: RedoOption = False,
    performance_report: PerformanceOption = None,
) -> None:
    """Run the whole study: extract, distances, reconstruct, relate, report. What is done already is left alone."""
    from distspc.study import STAGES

    _run(
        study,
        STAGES,
        profile=profile,
        overrides=overrides,
        strict=strict,
        redo=redo,
        performance_report=performance_report,
    )


def _stage_command(stage: StageName, text: str) -> None:
    def command(
        study: StudyArgument,
        profile: ProfileOption = None,
        overrides: SetOption = None,
        strict: StrictOption = False,
        redo: RedoOption = False,
        performance_report: PerformanceOption = None,
    ) -> None:
        _run(
            study,
            [stage],
            profile=profile,
            overrides=overrides,
            strict=strict,
            redo=redo,
            performance_report=performance_report,
        )

    app.command(stage, help=text)(command)


_stage_command("extract", "Pass the images through the network; all asked layers in one pass.")
_stage_command("distances", "Find every target's nearest neighbour, layer by layer.")
_stage_command("reconstruct", "Fit sparse codes; give every image's reconstruction error.")
_stage_command("report", "Write the figures and the page.")


@app.command()
def relate(
    context: typer.Context,
    study: Annotated[Path | None, typer.Argument(metavar="[STUDY.yaml]", help="The study file.")] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
    redo: RedoOption = False,
    measures: Annotated[Path | None, typer.Option("--measures", metavar="CSV", help="Table of measures.")] = None,
    scores: Annotated[Path | None, typer.Option("--scores", metavar="CSV", help="Table of scores.")] = None,
    by: Annotated[str | None, typer.Option("--by", metavar="COLUMN", help="Column that names the image.")] = None,
    score: Annotated[list[str] | None, typer.Option("--score", help="Score column; repeatable.")] = None,
    measure: Annotated[list[str] | None, typer.Option("--measure", help="Measure column; repeatable.")] = None,
    given: Annotated[list[str] | None, typer.Option("--given", help="Control measure; repeatable.")] = None,
    method: Annotated[Literal["pearson", "spearman"], typer.Option("--method")] = "pearson",
    bootstrap: Annotated[int, typer.Option("--bootstrap", min=10, help="Bootstrap resamples.")] = 1000,
    interval: Annotated[Literal["percentile", "bca"], typer.Option("--interval")] = "percentile",
    missing: Annotated[
        list[str] | None,
        typer.Option("--missing", metavar="ENTRY", help="Entry that means a missing value; repeatable."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", metavar="CSV", help="Keep the table as a file.")] = None,
) -> None:
    """Relate the measures to the scores: of a study, or of any two tables (--measures, --scores, --by)."""
    _refuse_mixture(context, of_study=study is not None)
    if study is not None:
        _run(study, ["relate"], profile=profile, overrides=overrides, strict=False, redo=redo, performance_report=None)
        return
    if measures is None or scores is None or by is None:
        raise InputError("give a study file, or --measures CSV --scores CSV --by COLUMN")
    from distspc.console import table
    from distspc.memorability import relate_tables

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
        missing=[entry for text in missing or () for entry in (part.strip() for part in text.split(",")) if entry],
    )
    for sentence in frame.attrs["notices"]:
        typer.echo(sentence, err=True)
    if output is not None:
        frame.to_csv(output, index=False)
    undefined = ["undefined"] if frame["undefined"].any() else []
    columns = ["measure", "given", "score", "method", "n", "r", "ci_low", "ci_high", "p", "p_holm", *undefined]
    _say(table(frame[columns]))


_RELATE_OF_STUDY = ("profile", "overrides", "redo")


def _refuse_mixture(context: typer.Context, *, of_study: bool) -> None:
    """Refuse options of `relate` that belong to its other form, naming them."""
    given = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name != "study"
        and (parameter.name in _RELATE_OF_STUDY) != of_study
        and str(getattr(context.get_parameter_source(str(parameter.name)), "name", "")) == "COMMANDLINE"
    ]
    if given and of_study:
        raise InputError(
            f"relate: {', '.join(given)} belong to two tables, not to a study; "
            "set `scores:` and `relate:` in the study file, or leave the study out and give --measures, --scores, --by"
        )
    if given:
        raise InputError(f"relate: {', '.join(given)} belong to a study, not to two tables; leave them out")


@app.command()
def status(study: StudyArgument) -> None:
    """Show what is done and what is left: a line per stage and layer."""
    from distspc.console import status_table
    from distspc.pipeline import Study

    _say(status_table(Study.from_file(study).status()))


@app.command()
def check(study: StudyArgument, profile: ProfileOption = None, overrides: SetOption = None) -> None:
    """Look at all that a run will need (images, scores, network, sizes, disk, memory, time); nothing is computed."""
    from distspc.check import as_table, check_study, profile_resources
    from distspc.console import DEFAULT_PROFILE, table
    from distspc.pipeline import Study

    found = Study.from_file(study)
    resources = profile_resources(found, profile, tuple(overrides or ()), DEFAULT_PROFILE)
    findings = check_study(found, resources)
    _say(table(as_table(findings)))
    if any(finding.ends_run for finding in findings):
        raise typer.Exit(2)


@app.command()
def plan(study: StudyArgument, profile: ProfileOption = None, overrides: SetOption = None) -> None:
    """Show what a study will cost on a profile (tasks, memory, bytes, time), and refuse what cannot fit."""
    from distspc.console import plan_text
    from distspc.pipeline import Study

    _say(plan_text(Study.from_file(study), profile, tuple(overrides or ())))


@app.command()
def export(
    study: StudyArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write into.")],
    seed: Annotated[
        int | None, typer.Option("--seed", help="Whose reconstruction error; the first by default.")
    ] = None,
) -> None:
    """Write the results as files: the authors' layout and a tidy table (results.csv)."""
    from distspc.comparison import refuse_other_results
    from distspc.export import export_results
    from distspc.pipeline import Study
    from distspc.status import shown_results

    loaded = Study.from_file(study)
    refuse_other_results(loaded)
    shown = shown_results(loaded)
    if loaded.scores is not None and not shown["with_scores"]:
        typer.echo("no correlations of these scores and settings yet: run `distspc relate` to have them", err=True)
    for path in export_results(loaded.store, directory, seed=seed, **shown):
        _say(str(path))


@app.command()
def verify(study: StudyArgument) -> None:
    """Read every chunk of the store against its checksum; damaged ones are named and removed, to be made again."""
    from distspc.integrity import lock, remove_damaged
    from distspc.pipeline import Study

    path = Study.from_file(study).store
    with lock(path):
        bad = remove_damaged(path)
    for file in bad:
        _say(f"damaged, removed: {file}")
    _say(f"{len(bad)} damaged chunks" + ("; run the study again to make them anew" if bad else ""))
    if bad:
        raise typer.Exit(1)


@app.command()
def profiles() -> None:
    """List the profiles that come with distspc, and where they are."""
    from distspc.deploy import list_profiles
    from distspc.deploy.profiles import profile_folder

    found = list_profiles()
    width = max(map(len, found))
    for name, text in found.items():
        _say(f"{name:<{width}}  {text}")
    _say(f"Files: {profile_folder()}. Copy one, change it, and give its path to --profile.")


@app.command("job-script")
def job_script(
    profile: Annotated[str, typer.Option("--profile", "-p", metavar="PROFILE", help="A profile of a batch queue.")],
    overrides: SetOption = None,
) -> None:
    """Print the exact text of the job that would be submitted for one worker."""
    from distspc.deploy import job_script as script

    _say(script(profile, overrides=tuple(overrides or ())))


@app.command()
def submit(
    study: StudyArgument,
    profile: Annotated[str, typer.Option("--profile", "-p", metavar="PROFILE", help="A profile of a batch queue.")],
    overrides: SetOption = None,
    strict: StrictOption = False,
) -> None:
    """Submit one small job that runs the study, so that no login session has to stay open."""
    from distspc.deploy import submit_driver
    from distspc.pipeline import Study

    Study.from_file(study)  # what is wrong with it shows now, not in the queue
    job = submit_driver(study, profile, overrides=tuple(overrides or ()), arguments=["--strict"] if strict else [])
    _say(f"job {job.job_id} runs the study; its log: {job.log}")
    _say(f"follow it with: distspc status {study}")


@app.command()
def init(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the study.")],
    dataset: Annotated[str, typer.Option("--dataset", help="isola, memcat, lamem, things, or csv.")] = "csv",
) -> None:
    """Write a study file for a data set of the field, and say what to download from where."""
    from distspc.datasets import init_study

    started = init_study(dataset, directory)
    _say(f"study file: {started.study}")
    for sentence in started.left:
        _say(f"- {sentence}")


@app.command()
def fetch(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where the files go.")],
    dataset: Annotated[str, typer.Option("--dataset", help="isola, memcat, lamem or things.")],
) -> None:
    """Download the files of a data set that may be fetched, against their digests; what is there already stays."""
    from distspc.datasets import fetch as fetch_files

    files, by_hand = fetch_files(dataset, directory)
    for file in files:
        _say(f"here: {file}")
    for sentence in by_hand:
        _say(f"by hand: {sentence}")


@app.command()
def convert(
    targets: Annotated[Path, typer.Argument(metavar="TARGETS.mat", help="MATLAB file of the target images.")],
    fillers: Annotated[Path, typer.Argument(metavar="FILLERS.mat", help="MATLAB file of the filler images.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Folder for Targets/ and Fillers/.")],
    image_format: Annotated[
        Literal["jpeg", "png"], typer.Option("--format", help="jpeg as the paper, or png.")
    ] = "jpeg",
    n_targets: Annotated[int, typer.Option("--n-targets", min=1, help="How many of the first file count.")] = 2222,
) -> None:
    """Write the images of the MATLAB files of Isola et al. as files, as the paper did."""
    from distspc.console import progress_bars
    from distspc.matlab import convert as convert_images

    with progress_bars() as progress:
        n = convert_images(targets, fillers, directory, format=image_format, n_targets=n_targets, progress=progress)
    _say(f"{n[0]} targets and {n[1]} fillers are in {directory}")


@app.command()
def demo(
    directory: Annotated[Path, typer.Argument(metavar="[DIR]", help="New folder for the demo.")] = Path("distspc-demo"),
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Weights of a trained VGG-16, instead of random ones."),
    ] = None,
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Run a whole study on photographs that installed packages ship, with random weights unless others are named."""
    from distspc.demo import write_demo
    from distspc.pipeline import Study

    study = write_demo(directory, weights)
    _say(f"Patches of photographs and a study file are in {directory}.")
    if weights is None:
        _say("The network's weights are random numbers, not trained ones (--weights FILE takes yours).")
    else:
        _say(f"The network is {weights}, at the layers that it has: {', '.join(Study.from_file(study).layers)}.")
    _say("The demo shows that everything works, and says nothing about memory: the score is edge density.")
    run(study, profile=profile, overrides=overrides)


# ---------------------------------------------------------------- entry point


def _on_sigterm(*_: Any) -> None:
    raise KeyboardInterrupt


@app.callback(invoke_without_command=True)
def _options(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say more while running.")] = False,
) -> None:
    if version:
        _say(f"distspc {__version__}")
        raise typer.Exit()
    # Dask's own chatter is for its log files; here only its warnings, and with --verbose what this package says.
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    handler.addFilter(lambda record: record.levelno >= logging.WARNING or record.name.startswith("distspc"))
    logging.basicConfig(handlers=[handler], force=True)
    logging.getLogger("distspc").setLevel(logging.INFO if verbose else logging.WARNING)


INTERRUPTED = 130
"""Exit code after Ctrl-C or SIGTERM; Typer makes one of Ctrl-C, without a word."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exit code 0 done, 2 bad input, 130 interrupted, 1 anything else."""
    signal.signal(signal.SIGTERM, _on_sigterm)
    try:
        app(args=list(arguments) if arguments is not None else None)
    except InputError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)
    except DistspcError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except (KeyboardInterrupt, SystemExit) as error:
        if isinstance(error, SystemExit) and error.code != INTERRUPTED:
            raise
        typer.echo("stopped; run the same command again to go on", err=True)
        sys.exit(INTERRUPTED)
    except Exception as error:
        logging.getLogger(__name__).info("unexpected error", exc_info=True)
        typer.echo(f"error: {type(error).__name__}: {error} (run `distspc --verbose ...` for the details)", err=True)
        sys.exit(1)
