"""One self-contained HTML page about a study: what was run, what came out, what went wrong, how to cite it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from distspc.io.files import written_whole
from distspc.layers import layer_label, layer_order, models_of, split_layer
from distspc.report import problems, provenance, statistics
from distspc.report.sections import ReportData, compare_measures, make_galleries, make_headlines, make_sections
from distspc.results import measures, numbers, stored_tables, tidy
from distspc.results.card import pages, study_name
from distspc.results.measures import MEASURES, partial_rows, zero_order_rows
from distspc.store.format.schema import StorePath
from distspc.store.store import Store


def write_report(
    store: StorePath,
    path: str | Path,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    measures: Sequence[str] | None = None,
    with_scores: bool = True,
    figure: Sequence[str] = (),
    title: str | None = None,
    fingerprint: str = "",
) -> Path:
    """Write the page about a study, its figures (PNG and SVG in ``figures/`` beside it) and tables (``tables/``).

    The page holds all it shows: it can be sent alone. Only its links to the figures and tables need the folders.

    Parameters
    ----------
    store
        Path of the store.
    path
        The HTML file to write.
    layers
        Layers to report; all that have a measure by default.
    seeds
        Seeds of the reconstruction error; all that the store holds by default.
    measures
        Further measures, by their words in the study file; all that the store holds by default.
    with_scores
        Whether the scores and what relates to them are shown.
    figure
        Measures of the figure by layer; by default distinctiveness, reconstruction error, norm and the first column of
        every further measure.
    title
        Heading; made of the store's name by default.
    fingerprint
        Text kept in the page's head, by which it can be told from another study's.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If there is no store, or it holds no images yet.
    """
    store, path = Store(store), Path(path)
    study = _read(store, layers, seeds, measures, with_scores=with_scores)
    study.figure = tuple(figure)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = pages("distspc.report")
    environment.filters.update(_FILTERS)
    page = environment.get_template("report.html").render(
        title=title or study_title(store),
        study=study,
        random_weights=provenance.has_random_weights(store),
        facts=provenance.facts(store, study.n_targets, study.n_images - study.n_targets, study.layers, study.scores),
        headlines=make_headlines(study),
        sections=make_sections(study, path.parent / "figures"),
        galleries=make_galleries(study, path.parent / "figures"),
        problems=problems.problems(store, study.table, study.layers),
        left_out=problems.left_out(store, study.layers, with_scores=with_scores),
        duplicates=problems.duplicates(study.table),
        skipped=stored_tables.read_table_of(store.skipped).to_dict("records"),
        stages=provenance.stages(store, study.layers),
        environment=provenance.environment(),
        side_by_side=compare_measures(study),
        statistics=study.statistics,
        measures=_measure_rows(study),
        files=_write_tables(study, path.parent / "tables"),
        distspc_version=_version(),
        fingerprint=fingerprint,
    )
    with written_whole(path) as beside:
        beside.write_text(page, encoding="utf-8")
    return path


def _read(
    store: Store,
    layers: Sequence[str] | None,
    seeds: Sequence[int] | None,
    further: Sequence[str] | None = None,
    *,
    with_scores: bool,
) -> ReportData:
    table = tidy.labelled_table(store, layers=layers, seeds=seeds, measures=further, with_scores=with_scores)
    relations, models, comparisons = (
        stored_tables.read_table_of(group) for group in (store.relations, store.models, store.comparisons)
    )
    if not with_scores:
        relations, models, comparisons = (part.iloc[:0] for part in (relations, models, comparisons))
    if layers is not None:
        relations, comparisons = (part[part["layer"].isin(["", *layers])] for part in (relations, comparisons))
        joint = ["all", *(layer_label("all", model) for model in models_of(layers))]
        models = models[models["layer"].isin([*layers, *joint])]
    measured = [layer for layer in layer_order(list(table["layer"])) if layer]
    scores = list(dict.fromkeys(relations["score"]))
    study = ReportData(store, table, relations, models, comparisons, scores, measured)
    study.seeds = seeds
    if store.relations.exists():
        study.n_bootstrap = int(store.relations.attributes.get("n_bootstrap", 0))
        study.n_permutations = int(store.relations.attributes.get("n_permutations", 0))
    study.statistics = statistics.statistic_tables(store, layers=layers, with_scores=with_scores)
    return study


def study_title(store: Store) -> str:
    """What a page calls a study: its store's name, or that of its folder."""
    return f"Study {study_name(store.path)}"


def _version() -> str:
    try:
        return version("distspc")
    except PackageNotFoundError:
        return "unknown"


def _measure_rows(study: ReportData) -> list[dict[str, Any]]:
    """Summary of every measure at every layer."""
    rows = []
    for measure, layer in measures.pairs_of(study.wide):
        values = study.wide[measure, layer].dropna()
        if len(values):
            named = {"layer": layer, "measure": MEASURES[measure], "n": len(values), "mean": values.mean()}
            rows.append(
                named | {"sd": values.std(), "min": values.min(), "median": values.median(), "max": values.max()}
            )
    return rows


def _write_tables(study: ReportData, directory: Path) -> list[tuple[str, str]]:
    """Write the tables as CSV; returns their links and what is in them."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {
        "measures": (study.table, "every target and layer: measures, nearest neighbour, scores"),
        "relations": (study.relations, "all correlations, zero-order and partial"),
        "models": (study.models, "multiple regression"),
        "comparisons": (study.comparisons, "comparisons of dependent correlations"),
    }
    wanted |= {name: (frame, statistics.TABLES[name]) for name, frame in study.statistics.items()}
    written = []
    for name, (frame, text) in wanted.items():
        if len(frame):
            shown = measures.with_models(frame) if "layer" in frame.columns else frame
            shown.to_csv(directory / f"{name}.csv", index=False)
            written.append((f"{directory.name}/{name}.csv", text))
    return written


def _plain(value: Any) -> str:
    """Number of a table as text with four digits."""
    return f"{value:,}" if isinstance(value, int | np.integer) else numbers.format_quantity(value)


def _p(value: float) -> str:
    return numbers.p_cell(value)


def _bootstrap_p(value: float, n_bootstrap: int) -> str:
    return numbers.p_cell(value, n_bootstrap=n_bootstrap or None)


def _measure_name(name: str) -> str:
    return MEASURES.get(name, name)


def _controls(text: str) -> str:
    return text.replace("_", " ").replace(":", " ")


def _tint(r: float) -> str:
    """Background of a correlation: the darker the stronger; warm above 0, blue below."""
    share = min(abs(r), 1.0) if np.isfinite(r) else 0.0
    hue = "213 94 0" if r > 0 else "0 114 178"
    return f"rgb({hue} / {0.5 * share:.2f})"


def _layer_cells(label: str, several: bool) -> list[str]:
    """A layer in a table: its model too where there are several."""
    layer, model = split_layer(label)
    return [model, layer] if several else [layer]


_FILTERS: dict[str, Callable[..., Any]] = {
    "r": numbers.format_r,
    "p": _p,
    "bootstrap_p": _bootstrap_p,
    "plain": _plain,
    "measure": _measure_name,
    "controls": _controls,
    "layer_cells": _layer_cells,
    "tint": _tint,
    "zero_order": zero_order_rows,
    "partial_correlations": partial_rows,
}
