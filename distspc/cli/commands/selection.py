"""The command that chooses stimuli for the next experiment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from distspc.cli.dialogue.speech import echo_text, note
from distspc.cli.usage.help import RUN, examples
from distspc.cli.usage.options import OptionalStudy, ProfileOption, SetOption
from distspc.errors import InputError
from distspc.messages import counted
from distspc.selection.options import SPLITS, Design, ImageFiles, Limits, Split

if TYPE_CHECKING:
    import pandas as pd

    from distspc.selection.matching.near_duplicates import Distances
    from distspc.selection.power import Assumptions
    from distspc.selection.selection import Selection
    from distspc.selection.trials.lists import TrialDesign

commands = typer.Typer()

_SEVERAL = ("--durations", "--power-subjects")
"""Options that take several numbers, one after the other."""


_OPTIONS_OF = {
    "trials": ("images_per_trial", "durations", "blocks", "subjects"),
    "power": ("effect", "trial_data", "power_subjects", "simulations"),
}
"""Options by the one without which they do nothing."""


class _SeveralNumbers(TyperCommand):
    """A command that reads ``--durations 34 84 167`` as ``--durations 34 --durations 84 --durations 167``."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread_numbers(args))


def spread_numbers(arguments: Sequence[str]) -> list[str]:
    """Repeat the name of an option that takes several numbers before each of them.

    >>> spread_numbers(["--durations", "34", "84", "--blocks", "12"])
    ['--durations', '34', '--durations', '84', '--blocks', '12']
    """
    spread: list[str] = []
    option = ""
    for argument in arguments:
        if option and argument.isdigit() and spread[-1] != option:
            spread.append(option)
        elif not argument.isdigit():
            option = argument if argument in _SEVERAL else ""
        spread.append(argument)
    return spread


@commands.command(
    cls=_SeveralNumbers,
    rich_help_panel=RUN,
    epilog=examples(
        "select s.yaml --by distinctiveness:fc2 --per-cell 24 --output set",
        "select s.yaml --by norm:fc2 --per-cell 9 --match category --output set",
        "select --measures m.csv --by size --per-cell 9 --output set",
        "select s.yaml --by norm:fc2 --per-cell 24 --output set --trials rsvp",
    ),
)
def select(
    context: typer.Context,
    by: Annotated[
        list[str], typer.Option("--by", metavar="MEASURE:LAYER", help="Factor, or any column of numbers; one to three.")
    ],
    per_cell: Annotated[int, typer.Option("--per-cell", help="Images of each cell.")],
    output: Annotated[Path, typer.Option("--output", metavar="DIR", help="New folder for the set.")],
    study: OptionalStudy = None,
    measures: Annotated[
        Path | None,
        typer.Option("--measures", rich_help_panel="Images", metavar="CSV", help="Table, instead of a study."),
    ] = None,
    scores: Annotated[
        Path | None, typer.Option("--scores", rich_help_panel="Images", metavar="CSV", help="Second table beside it.")
    ] = None,
    image: Annotated[
        str,
        typer.Option(
            "--image",
            rich_help_panel="Images",
            metavar="COLUMN",
            help="Column of the tables that names the image; A=B where they differ.",
        ),
    ] = "image",
    levels: Annotated[
        int, typer.Option("--levels", rich_help_panel="Cells", help="Levels of each factor.")
    ] = Design.levels,
    split: Annotated[
        Split, typer.Option("--split", rich_help_panel="Cells", help="Equal parts, or the first and last third.")
    ] = SPLITS[0],
    cut: Annotated[
        list[str] | None,
        typer.Option("--cut", rich_help_panel="Cells", metavar="FACTOR=V[,V]", help="Cut points instead; repeatable."),
    ] = None,
    match: Annotated[
        list[str] | None,
        typer.Option("--match", rich_help_panel="Cells", metavar="COLUMN", help="Equal in all cells; repeatable."),
    ] = None,
    exclude: Annotated[
        Path | None,
        typer.Option("--exclude", rich_help_panel="Images", metavar="LIST", help="Images to leave out, a line each."),
    ] = None,
    must: Annotated[
        Path | None,
        typer.Option("--must", rich_help_panel="Images", metavar="LIST", help="Images to be in, a line each."),
    ] = None,
    min_distance: Annotated[
        list[str] | None,
        typer.Option(
            "--min-distance",
            rich_help_panel="Images",
            metavar="LAYER=D",
            help="Least distance between two images; repeatable.",
        ),
    ] = None,
    max_smd: Annotated[
        float, typer.Option("--max-smd", rich_help_panel="Cells", help="Largest standardised mean difference.")
    ] = Limits.max_smd,
    variance_ratio: Annotated[
        tuple[float, float],
        typer.Option(
            "--variance-ratio",
            rich_help_panel="Cells",
            metavar="LOW HIGH",
            help="Smallest and largest ratio of variances.",
        ),
    ] = Limits.variance_ratio,
    max_correlation: Annotated[
        float, typer.Option("--max-correlation", rich_help_panel="Cells", help="Largest correlation of two factors.")
    ] = Limits.max_correlation,
    seed: Annotated[
        int,
        typer.Option("--seed", rich_help_panel="Search", help="The same seed gives the same set and the same trials."),
    ] = 0,
    time_limit: Annotated[
        float, typer.Option("--time-limit", rich_help_panel="Search", metavar="S", help="Seconds for the search.")
    ] = 60.0,
    gap: Annotated[
        float,
        typer.Option("--gap", rich_help_panel="Search", help="Distance from the proven bound that is good enough."),
    ] = 0.01,
    images: Annotated[
        ImageFiles, typer.Option("--images", rich_help_panel="Images", help="Copy or link the images into DIR.")
    ] = "copy",
    trials: Annotated[
        str | None,
        typer.Option("--trials", rich_help_panel="Trial lists", metavar="rsvp", help="Write trial lists as well."),
    ] = None,
    images_per_trial: Annotated[
        int, typer.Option("--images-per-trial", rich_help_panel="Trial lists", help="Images of a stream.")
    ] = 6,
    durations: Annotated[
        list[int] | None,
        typer.Option(
            "--durations", rich_help_panel="Trial lists", metavar="MS ...", help="Of an image; by default 34 84 167."
        ),
    ] = None,
    blocks: Annotated[int, typer.Option("--blocks", rich_help_panel="Trial lists", help="Blocks of a subject.")] = 12,
    subjects: Annotated[
        int, typer.Option("--subjects", rich_help_panel="Trial lists", help="Subjects, a trial list each.")
    ] = 50,
    power: Annotated[
        bool, typer.Option("--power", rich_help_panel="Power", help="Simulate the experiment; print its power.")
    ] = False,
    effect: Annotated[
        list[str] | None,
        typer.Option(
            "--effect",
            rich_help_panel="Power",
            metavar="[FACTOR=]LOG-ODDS",
            help="Assumed effect of each or one factor; repeatable.",
        ),
    ] = None,
    trial_data: Annotated[
        Path | None,
        typer.Option(
            "--trial-data",
            rich_help_panel="Power",
            metavar="CSV",
            help="Trials to estimate effects from: subject, image, correct.",
        ),
    ] = None,
    power_subjects: Annotated[
        list[int] | None,
        typer.Option(
            "--power-subjects", rich_help_panel="Power", metavar="N ...", help="Numbers of subjects to simulate."
        ),
    ] = None,
    simulations: Annotated[
        int, typer.Option("--simulations", rich_help_panel="Power", help="Experiments simulated for each.")
    ] = 1000,
    profile: ProfileOption = None,
    overrides: SetOption = None,
) -> None:
    """Choose matched images for a factorial experiment.

    They are images of a study, or of a table (--measures). Trial lists and the experiment's power are optional.
    """
    from distspc.selection.output import check_folder, write_selection
    from distspc.selection.selection import select_stimuli
    from distspc.selection.trials.images import filler_images

    check_folder(output)
    _refuse_idle_options(context)
    design = _trial_design(trials, images_per_trial, durations, blocks, subjects)
    _check_power(power, effect, trial_data, power_subjects, simulations)
    effects = _effects(effect or (), by)
    table, distances, shown = _source(study, measures, scores, image)
    excluded = _listed(exclude, table, "--exclude")
    chosen = select_stimuli(
        table,
        by=by,
        per_cell=per_cell,
        match=match or (),
        levels=levels,
        split=split,
        cuts={name: _numbers(text, "--cut") for name, text in map(_pair, cut or ())},
        exclude=excluded,
        must=_listed(must, table, "--must"),
        max_smd=max_smd,
        variance_ratio=variance_ratio,
        max_correlation=max_correlation,
        min_distance={name: _distance(text) for name, text in map(_pair, min_distance or ())},
        distances=distances,
        seed=seed,
        time_limit=time_limit,
        gap=gap,
    )
    fillers = None if design is None else filler_images(chosen, shown[~shown.index.isin(excluded)], design, seed)
    stimuli = write_selection(chosen, output, images=images, title=f"Stimuli of {(study or measures or output).stem}")
    _say(chosen)
    if design is not None and fillers is not None:
        _write_trials(stimuli, fillers, design, output, images, seed)
    if power:
        _print_power(chosen, effects, trial_data, power_subjects, simulations, seed, profile, overrides)
    echo_text(f"written: {output}")


def _refuse_idle_options(context: typer.Context) -> None:
    """Refuse options of trials and of power where neither is asked for."""
    for needed, options in _OPTIONS_OF.items():
        idle = [name for name in options if _is_stated(context, name)]
        if idle and not context.params[needed]:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in idle)
            raise InputError(f"{names} has no effect without --{needed}: add it, or leave {names} out")


def _is_stated(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"


def _source(
    study: Path | None, measures: Path | None, scores: Path | None, image: str
) -> tuple[pd.DataFrame, Distances | None, pd.DataFrame]:
    """Table to select from, what measures distances, and all images that may fill streams."""
    from distspc.selection.image_table import activation_distances, fillers_of, read_image_table, study_table

    if (study is None) == (measures is None):
        raise InputError("give a study file, or --measures CSV (and --scores CSV) with --image COLUMN, not both")
    if measures is not None:
        table = read_image_table(measures, scores, image)
        return table, None, table[["file"]] if "file" in table.columns else table[[]]
    if scores is not None:
        raise InputError("--scores belongs to --measures, not to a study: set `scores:` in the study file")
    from distspc.pipeline.comparison import refuse_other_results
    from distspc.pipeline.run import Study

    assert study is not None
    loaded = Study.from_file(study)
    refuse_other_results(loaded)
    import pandas as pd

    table = study_table(loaded.store)
    return table, activation_distances(loaded.store), pd.concat([table[["file"]], fillers_of(loaded.store)])


def _pair(text: str) -> tuple[str, str]:
    """Name and value of NAME=VALUE."""
    name, _, value = text.rpartition("=")
    if not name or not value:
        raise InputError(f"{text!r}: expected a name and a value, NAME=VALUE")
    return name, value


def _numbers(text: str, option: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option}: {text!r} is no number, nor numbers with commas between them") from None
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"{option}: expected finite numbers, got {text!r}")
    return numbers


def _number(text: str, option: str) -> float:
    numbers = _numbers(text, option)
    if len(numbers) > 1:
        raise InputError(f"{option}: expected one number, got {text!r}")
    return numbers[0]


def _distance(text: str) -> float:
    distance = _number(text, "--min-distance")
    if distance <= 0:
        raise InputError(f"--min-distance: expected a distance above 0, got {text!r}")
    return distance


def _listed(file: Path | None, table: pd.DataFrame, option: str) -> list[str]:
    from distspc.selection.image_table import listed_images

    return [] if file is None else listed_images(file, table, option)


def _say(selection: Selection) -> None:
    """Say how the factors correlate before and after, how alike the cells are, and how good the set is proven to be."""
    from distspc.cli.dialogue.output import table
    from distspc.selection.page import sentences, summary_table

    for sentence in sentences(selection):
        echo_text(sentence)
    echo_text(table(summary_table(selection)))


def _trial_design(
    trials: str | None, images_per_trial: int, durations: list[int] | None, blocks: int, subjects: int
) -> TrialDesign | None:
    from distspc.selection.trials.lists import PARADIGMS, TrialDesign

    if trials is None:
        return None
    if trials not in PARADIGMS:
        raise InputError(f"--trials: expected {' or '.join(PARADIGMS)}, got {trials!r}")
    return TrialDesign(images_per_trial, tuple(durations or TrialDesign.durations), blocks, subjects)


def _write_trials(
    stimuli: pd.DataFrame, fillers: pd.DataFrame, design: TrialDesign, output: Path, images: ImageFiles, seed: int
) -> None:
    from distspc.selection.trials.files import write_trials
    from distspc.selection.trials.images import trial_paths
    from distspc.selection.trials.lists import make_trials, trial_notices

    paths = trial_paths(stimuli, fillers, output, images)
    trials = make_trials(stimuli, list(fillers.index), design, seed)
    written = write_trials(trials, paths, output / "trials")
    for sentence in trial_notices(design, len(stimuli)):
        note(sentence)
    echo_text(
        f"trial lists of {counted(design.subjects, 'subject')}: {counted(len(written), 'file')} in {output / 'trials'}"
    )


def _effects(texts: Sequence[str], by: Sequence[str]) -> dict[str, float]:
    """Assumed effects: one number for every factor, or NAME=NUMBER, refused before the search if there is no NAME."""
    from distspc.selection.power import effect_names, refuse_unknown_effects

    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        found |= dict.fromkeys([name] if name else by, _number(value, "--effect"))
    refuse_unknown_effects(found, effect_names(by))
    return found


def _check_power(
    power: bool, effect: list[str] | None, trial_data: Path | None, subjects: list[int] | None, simulations: int
) -> None:
    """Refuse, before the search, what the simulation could not take after it."""
    if power and (effect is None) == (trial_data is None):
        raise InputError("--power needs an assumed --effect in log odds, or --trial-data CSV to estimate it from")
    if trial_data is not None and not trial_data.is_file():
        raise InputError(f"--trial-data {trial_data}: there is no such file")
    if min(subjects or [2]) < 2:
        raise InputError(f"--power-subjects: expected at least 2, got {min(subjects or [])}")
    if simulations < 1:
        raise InputError(f"--simulations: expected at least 1, got {simulations}")


def _assumed(effects: dict[str, float], trial_data: Path | None, selection: Selection) -> Assumptions:
    from distspc.selection.image_table import read_trial_data
    from distspc.selection.power import Assumptions, estimate, factorial_of, levels_of

    if trial_data is None:
        return Assumptions(effects)
    return estimate(read_trial_data(trial_data), factorial_of(selection), levels_of(selection))


def _print_power(
    selection: Selection,
    effects: dict[str, float],
    trial_data: Path | None,
    subjects: list[int] | None,
    simulations: int,
    seed: int,
    profile: str | None,
    overrides: list[str] | None,
) -> None:
    from contextlib import nullcontext

    from distspc.cli.dialogue.output import table
    from distspc.deployment.session import deploy
    from distspc.selection.power import SUBJECTS, factorial_of, simulated_power

    assumed = _assumed(effects, trial_data, selection)
    echo_text(
        f"power of {simulations} simulated experiments each; correct answers {assumed.rate:.2f}; SD of subjects "
        f"{assumed.subject_sd:.2f}, images {assumed.image_sd:.2f}, slopes {assumed.slope_sd:.2f} (log odds)"
    )
    cluster: Any = nullcontext() if profile is None else deploy(profile, overrides=tuple(overrides or ()), name="power")
    with cluster as client:
        found = simulated_power(
            factorial_of(selection),
            assumed,
            subjects=subjects or SUBJECTS,
            n_simulations=simulations,
            seed=seed,
            client=client,
        )
    echo_text(table(found))
