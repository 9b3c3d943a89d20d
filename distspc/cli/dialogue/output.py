"""What the command line shows: progress bars, tables, the dashboard's address; and its clusters, one at a time."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from distspc.cli.dialogue.speech import note
from distspc.layers import models_of, split_layer
from distspc.messages import counted, format_duration, format_nbytes, shorten

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

    from distspc.pipeline.needs.work import StagePlan
    from distspc.pipeline.plan import StudyPlan
    from distspc.pipeline.run import Outcome, Study
    from distspc.pipeline.status import StageStatus
    from distspc.study.file import Shown


def _text(table: Table) -> str:
    """A table as text; names are shown as they are, without markup, folded at the edge of a terminal."""
    width = None if sys.stdout.isatty() else 1_000_000  # a file or a pipe has no edge
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    for column in table.columns:
        column.overflow = "fold"
    with console.capture() as capture:
        console.print(table)
    return capture.get().rstrip("\n")


def table(frame: pd.DataFrame) -> str:
    """A data frame as a text table; floats with four significant digits."""
    shown = Table(box=None, pad_edge=False)
    for name in frame.columns:
        shown.add_column(str(name), justify="right" if frame[name].dtype.kind in "fi" else "left")
    for row in frame.itertuples(index=False):
        shown.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else printable(str(cell)) for cell in row))
    return _text(shown)


def p_of_step(p: float, step: float) -> float | str:
    """A p, or that it is less than its step.

    >>> p_of_step(0.0, 0.002), p_of_step(0.25, 0.002)
    ('< 0.002', 0.25)
    """
    return f"< {step:.2g}" if p < step else p


def printable(text: str) -> str:
    """Text without what moves a terminal's cursor: a name may hold anything."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def status_table(rows: Sequence[StageStatus]) -> str:
    """A line per stage and layer: done, how far, or to do."""
    models = models_of([row.layer for row in rows])
    shown = Table("stage", *_layer_columns(models), "state", box=None, pad_edge=False)
    for row in rows:
        state = "done" if row.complete else f"{row.n_done} of {row.n_tasks}" if row.n_done else "to do"
        if row.failed:
            state = f"{state}, failed: {row.failed}" if row.n_done else f"failed: {row.failed}"
        if row.note:
            state = f"{state} ({row.note})"
        if row.differs:
            state = f"{state} ({row.differs})"
        shown.add_row(row.stage, *_layer_cells(row.layer, models), state)
    return _text(shown)


def _layer_columns(models: Sequence[str]) -> list[str]:
    return ["model", "layer"] if models else ["layer"]


def _layer_cells(label: str, models: Sequence[str]) -> list[str]:
    """A layer in a table: its model too where there are several."""
    layer, model = split_layer(label)
    return [model, layer] if models else [layer]


def print_dashboard(client: Client) -> None:
    """Say on standard error where the dashboard of a cluster is."""
    from distspc.deployment.dashboard import dashboard_lines

    for line in dashboard_lines(client):
        note(line)


def summary(study: Study, outcome: Outcome) -> str:
    """What a run did, its results in short, and where they are."""
    from distspc.pipeline.stages.report import shown_results

    shown = shown_results(study)
    lines = [f"Updated: {outcome.updated.kept}."] if outcome.updated else []
    if outcome.computed:
        lines.append("Done: " + ", ".join(f"{label} ({counted(n, 'task')})" for label, n in outcome.computed.items()))
    elif not outcome.failures:
        lines.append("Nothing to do: all requested results are already in the store.")
    if outcome.given_back:
        layers = [f"{layer} ({format_nbytes(n)})" for layer, n in outcome.given_back.items()]
        lines.append(f"Given back, as `keep` leaves them out: {', '.join(layers)}")
    if study.stored.distances.exists() and study.stored.reconstruction.exists():
        lines.append(table(_by_layer(study, shown)))
    if shown["with_scores"] and study.stored.relations.exists():
        lines.append(table(_relations(study)))
    lines += _left_out(study, shown)
    lines += [failure.sentence for failure in outcome.failures]
    lines.append(f"store: {study.store}")
    if outcome.report is not None:
        lines.append(f"report: {outcome.report}")
    return "\n".join(lines)


def _left_out(study: Study, shown: Shown) -> list[str]:
    """What was skipped or converted, warnings first; nothing in a clean study."""
    from distspc.report.problems import left_out

    notices = left_out(study.stored, study.layers, with_scores=shown["with_scores"])
    ordered = sorted(notices, key=lambda notice: not notice.warning)
    texts = [f"  {'warning: ' if notice.warning else ''}{notice.text}" for notice in ordered]
    return ["What was skipped or converted:", *texts] if texts else []


def warning_texts(study: Study) -> list[str]:
    """What was skipped or converted and should be known, also where the summary is not shown."""
    from distspc.pipeline.stages.report import shown_results

    marked = "  warning: "
    return [text.strip() for text in _left_out(study, shown_results(study)) if text.startswith(marked)]


def _by_layer(study: Study, shown: Shown) -> pd.DataFrame:
    from distspc.results.measures import with_models
    from distspc.results.tidy import labelled_table

    frame = labelled_table(study.store, **shown)
    measures = ["distinctiveness", "reconstruction_error"]
    means = frame.groupby("layer", sort=False)[measures].mean()
    means.columns = [f"mean {name.replace('_', ' ')}" for name in measures]
    wanted = [name for name in study.layers if name in means.index]
    return with_models(means.loc[wanted].reset_index())


def _relations(study: Study) -> pd.DataFrame:
    from distspc.results.measures import with_models, zero_order_rows
    from distspc.results.numbers import p_cell
    from distspc.results.stored_tables import read_table_of

    frame = read_table_of(study.stored.relations)
    rows = zero_order_rows(frame)
    main = rows[rows["measure"].isin(["distinctiveness", "reconstruction_error"])]
    p_cells = [p_cell(p, n_bootstrap=study.relate.n_bootstrap) for p in main["p"]]
    return with_models(main.assign(p=p_cells)[["layer", "measure", "score", "n", "r", "ci_low", "ci_high", "p"]])


def plan_text(study: Study, plan: StudyPlan) -> str:
    """What a study will cost: images, store, and a line per stage and layer."""
    from distspc.pipeline.needs.engines import settle_engines
    from distspc.pipeline.stages.extract import store_nbytes
    from distspc.study.images import count_images

    n_targets, n_fillers = count_images(study)
    study = settle_engines(study, lambda: plan.resources["extract"].gpu)
    profiles = {one.profile: one for one in plan.resources.values()}
    gflops = plan.resources["distances"].gflops_per_core
    lines = [
        f"images: {counted(n_targets, 'target')}, {counted(n_fillers, 'filler')}; layers: {', '.join(study.layers)}",
        f"store: {format_nbytes(store_nbytes(study, n_targets + n_fillers))} of activations before compression, "
        f"at {study.store}",
        *(
            f"profile {name}: {counted(r.n_workers, 'worker')} of {counted(r.cores, 'core')} and "
            f"{format_nbytes(r.memory_nbytes)}"
            for name, r in profiles.items()
        ),
        *_engine_text(study),
        *_update_text(plan),
        *_rounds_text(plan, n_targets + n_fillers),
        _plan_table(plan.stages),
        *_iterations_text(plan),
        f"estimate: {format_duration(plan.makespan_s)}, distances and reconstruction at the same time where they have "
        f"the same workers, if every core does {gflops:.0f} GFLOP/s of float32 products",
    ]
    return "\n".join(lines)


def _engine_text(study: Study) -> list[str]:
    """What runs each network of whose engine the study says anything."""
    from distspc.extraction.engines import ENGINE_NAMES
    from distspc.pipeline.needs.sizes import engine

    networks = [one for one in study.networks if one.options.engine and study.activations is None]
    return [f"{one.titled('engine')}: {ENGINE_NAMES[engine(one)]}" for one in networks]


def _update_text(plan: StudyPlan) -> list[str]:
    """What an update keeps and computes, and what it takes of the disk; nothing where none is planned."""
    if plan.changes is None:
        return []
    return [
        f"update: {plan.changes.sentence}; forward passes: {plan.n_passes:,}; until it is done it takes up to "
        f"{format_nbytes(plan.extra_nbytes)} beside the old store, less where whole files are shared"
    ]


def _rounds_text(plan: StudyPlan, n_images: int) -> list[str]:
    """What it costs not to keep all layers; nothing where all are kept."""
    if len(plan.rounds) == 1:
        return []
    rounds = "; ".join(shorten(layers, most=8) for layers in plan.rounds)
    cost = f": {counted(plan.n_passes, 'forward pass')} of {counted(n_images, 'image')}" if plan.n_passes else ""
    return [f"{len(plan.rounds)} rounds ({rounds}){cost}; at most {format_nbytes(plan.disk_nbytes)} of disk at a time"]


def _iterations_text(plan: StudyPlan) -> list[str]:
    """How many iterations a batch the reconstruction is planned with, and whose they are; nothing without batches."""
    layers = {source: [layer for layer, of in plan.iterations.items() if of.source == source] for source in _SOURCES}
    parts = [
        words.format(
            layers=", ".join(layers[source]),
            each=", ".join(f"{layer} {plan.iterations[layer].mean:.1f}" for layer in layers[source]),
            mean=plan.iterations[layers[source][0]].mean,
        )
        for source, words in _SOURCES.items()
        if layers[source]
    ]
    return [f"iterations a batch of the reconstruction: {'; '.join(parts)}"] if parts else []


_SOURCES = {
    "layer": "{each}, as finished seeds took",
    "store": "{layers} {mean:.1f}, the mean of these",
    "default": "{mean:.1f} by default (18 to 48 in layers of a trained network), until a seed is finished",
}


def _plan_table(plans: Sequence[StagePlan]) -> str:
    models = models_of([plan.layer for plan in plans])
    shown = Table("stage", *_layer_columns(models), box=None, pad_edge=False)
    for name in ("tasks", "memory/task", "moved", "time"):
        shown.add_column(name, justify="right")
    for plan in plans:
        memory, moved = format_nbytes(plan.task_nbytes), format_nbytes(plan.moved_nbytes)
        shown.add_row(
            plan.stage,
            *_layer_cells(plan.layer, models),
            f"{plan.n_tasks}",
            memory,
            moved,
            format_duration(plan.seconds),
        )
    return _text(shown)
