"""The sections of the report: what each shows, and with which figures."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from distspc.io.csv_tables import safe_names
from distspc.layers import by_model, models_of
from distspc.report import readouts, sentences
from distspc.report.statistics import related_sentences, split_half_sentences
from distspc.results import measures, numbers, tidy, training
from distspc.results.measures import MEASURES, zero_order_rows
from distspc.results.plot import galleries
from distspc.results.plot.galleries import data_uri
from distspc.results.training import is_scaled
from distspc.store.format import schema
from distspc.store.notices import RULES, stored_notices
from distspc.store.store import Store

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST_IN_MATRIX = 32  # measures of several networks in one figure
_SVG_NBYTES = 90_000  # beyond it a figure is embedded as pixels


@dataclass
class Plot:
    """A figure of the page."""

    name: str
    caption: str
    source: str
    files: tuple[str, ...] = ()


@dataclass
class ReportData:
    """What the page is about, read once."""

    store: Store
    table: pd.DataFrame
    relations: pd.DataFrame
    models: pd.DataFrame
    comparisons: pd.DataFrame
    scores: list[str]
    layers: list[str]
    wide: pd.DataFrame = field(init=False)
    n_bootstrap: int = 0
    n_permutations: int = 0
    seeds: Sequence[int] | None = None
    figure: Sequence[str] = ()
    statistics: dict[str, pd.DataFrame] = field(default_factory=dict)
    """Tables of statistics beside the correlations, by group of the store."""

    def __post_init__(self) -> None:
        self.wide = measures.wide_table(self.table)

    @property
    def file_names(self) -> dict[str, str]:
        """What the scores are called in the names of files."""
        return safe_names(self.scores)

    @property
    def scaled(self) -> bool:
        """Whether distances are of standardised features."""
        return is_scaled(self.store.distances)

    @property
    def networks(self) -> list[str]:
        """Names of the networks where there are several; empty for one."""
        return models_of(self.layers)

    @functools.cached_property
    def n_targets(self) -> int:
        """Number of target images."""
        return len(tidy.target_positions(self.store))

    @property
    def n_images(self) -> int:
        """Number of all images."""
        return self.store.images.sizes["image"]

    @property
    def shown_images(self) -> pd.DataFrame:
        """The image table of the targets and their neighbours: of a million others nothing is shown."""
        return tidy.image_table(self.store, {*self.table["image"], *self.table.get("neighbour", ())})


# ---------------------------------------------------------------------------------------------- findings and figures


@dataclass
class Section:
    """A part of the page: sentences, then figures."""

    title: str
    sentences: list[str]
    plots: list[Plot]


def make_headlines(study: ReportData) -> list[str]:
    """The few sentences that stand at the top: the first score alone."""
    if not study.scores:
        return [
            text
            for text in (sentences.distance_sentence(study.table), sentences.agreement_sentence(study.wide))
            if text
        ]
    score = "corrected_hit" if "corrected_hit" in study.scores else study.scores[0]
    says = (sentences.correlation_sentence, sentences.network_sentence)
    texts = [say(study.relations, score, measure) for measure in measures.HEADLINE for say in says]
    texts.append(sentences.partial_sentence(study.relations, score, "reconstruction_error", "distinctiveness"))
    texts += sentences.across_sentences(study.relations, score)[:1]
    texts += [sentences.model_sentence(study.models, score), sentences.contrast_sentence(study.relations)]
    return [text for text in texts if text]


def make_sections(study: ReportData, directory: Path) -> list[Section]:
    """The sections that have something to show."""
    made = [_score_section(study, score, directory) for score in study.scores]
    made += [_reliability_section(study), _measure_section(study, directory), _training_section(study, directory)]
    return [section for section in made if section.plots or section.sentences]


def _score_section(study: ReportData, score: str, directory: Path) -> Section:
    from distspc.results.plot import figures

    def by_layer() -> Figure:
        table = study.statistics.get(schema.READOUT)
        return figures.correlation_by_layer(study.relations, score, measures=study.figure, readout=table)

    step = f" from {study.n_bootstrap:,} resamples" if study.n_bootstrap else ""
    caption = f"Pearson correlation of each measure with {score} by layer; bars are 95 % bootstrap CIs{step}."
    caption += readouts.caption(study.statistics.get(schema.READOUT))
    drawn = score in set(zero_order_rows(study.relations)["score"])
    plots = _plots(directory, (f"correlation_{study.file_names[score]}", caption, by_layer)) if drawn else []
    for measure in measures.HEADLINE:
        plots += _scatter(study, score, measure, directory)
    texts = sentences.score_sentences(study.relations, study.models, study.comparisons, score)
    texts += related_sentences(study.store, study.relations, study.statistics, score, list(measures.HEADLINE))
    texts.append(sentences.rank_sentence(study.relations, score))
    texts += readouts.readout_sentences(study.statistics.get(schema.READOUT, pd.DataFrame()), study.relations, score)
    texts += [notice.text for notice in stored_notices([study.store.scores], key=RULES)]
    return Section(f"Relation to {score}", [text for text in texts if text], plots)


def _reliability_section(study: ReportData) -> Section:
    table = study.statistics.get(schema.RELIABILITY, pd.DataFrame())
    return Section("Reliability of the scores", split_half_sentences(table) if len(table) else [], [])


def _scatter(study: ReportData, score: str, measure: str, directory: Path) -> list[Plot]:
    rows = sentences.rows_by_layer(study.relations, score, measure)
    if rows.empty:
        return []
    layers = measures.headline_layers(measure, list(rows["layer"]))
    return [plot for layer in layers for plot in _scatter_at(study, score, measure, rows, layer, directory)]


def _scatter_at(
    study: ReportData, score: str, measure: str, rows: pd.DataFrame, layer: str, directory: Path
) -> list[Plot]:
    """Draw a measure at one layer against a score."""
    from distspc.results.plot import figures

    row = rows[rows["layer"] == layer].iloc[0]
    part = study.table[study.table["layer"] == layer]
    note = numbers.r_with_interval(row)

    def draw() -> Figure:
        return figures.scatter(
            part,
            measure,
            tidy.score_columns(study.scores)[score],
            layer=layer,
            note=note,
            label=score,
            scaled=study.scaled,
        )

    caption = (
        f"{MEASURES[measure].capitalize()} at {layer} against {score}, a dot per image, with the regression line: "
        f"{numbers.interval_text(row)}, {numbers.p_text(row['p'], n_bootstrap=study.n_bootstrap)}."
    )
    name = "_".join(["scatter", measure, study.file_names[score], *models_of([layer])])
    return _plots(directory, (name, caption, draw))


def _measure_section(study: ReportData, directory: Path) -> Section:
    from distspc.results.plot import figures

    present = [name for name in measures.HEADLINE if name in measures.measures_of(study.table)]
    wanted: list[tuple[str, str, Callable[[], Figure]]] = []
    for measure in present:
        caption = f"Distribution of {MEASURES[measure]} over the targets; the line is the median. Axes differ by layer."
        draw = functools.partial(figures.distributions, study.table, measure, scaled=study.scaled)
        wanted.append((f"distribution_{measure}", caption, draw))
    if study.wide.shape[1] > 1 and len(study.wide) > 2:
        caption = "Pearson correlations of the measures of all layers with each other."
        wanted += [(name, caption, functools.partial(figures.measure_matrix, part)) for name, part in _matrices(study)]
    texts = [sentences.distance_sentence(study.table) if "distinctiveness" in present else ""]
    texts.append(sentences.agreement_sentence(study.wide))
    return Section("The measures", [text for text in texts if text], _plots(directory, *wanted))


def _matrices(study: ReportData) -> list[tuple[str, pd.DataFrame]]:
    """Measures that are correlated with each other in a figure: all, or those of each network where these are many."""
    layers = list(study.wide.columns.get_level_values("layer"))
    networks = by_model(layers)
    if len(networks) < 2 or len(layers) <= _MOST_IN_MATRIX:
        return [("measures", study.wide)]
    parts = {model: study.wide.columns.isin(own, level="layer") for model, own in networks.items()}
    return [(f"measures_{model}", study.wide.loc[:, own]) for model, own in parts.items()]


def _training_section(study: ReportData, directory: Path) -> Section:
    from distspc.results.plot import figures

    if not study.store.reconstruction.exists():
        return Section("", [], [])
    curves, converged = training.training(study.store, study.layers)
    pairs, n_seeds = training.seed_pairs(study.store, study.layers, study.seeds)
    wanted: list[tuple[str, str, Callable[[], Figure]]] = []
    if curves:
        caption = "Mean squared residual of each training batch, by layer."
        wanted.append(("training", caption, lambda: figures.training_curves(curves)))
    if pairs:
        caption = "Agreement of the reconstruction errors of different seeds over targets, by layer."
        n = study.n_targets
        wanted.append(("reliability", caption, lambda: figures.reliability_over_seeds(pairs, n_seeds=n_seeds, n=n)))
    texts = [sentences.training_sentence(curves, converged)]
    texts.append(sentences.step_sentence(training.shortened(study.store, study.layers)))
    texts += [sentences.reliability_sentence(pairs, n_seeds), sentences.icc_sentence(study.table)]
    return Section("Sparse coding", [text for text in texts if text], _plots(directory, *wanted))


def make_galleries(study: ReportData, directory: Path) -> list[galleries.Gallery]:
    """Galleries of the study; those with pictures are also written as figures."""
    from distspc.results.plot.style import save_figure

    found = galleries.find_extremes(study.table, study.shown_images)
    for gallery in found:
        if gallery.has_pictures:
            files = save_figure(galleries.draw(gallery), directory, gallery.name)
            gallery.files = tuple(f"{directory.name}/{file.name}" for file in files)
    return found


def _plots(directory: Path, *wanted: tuple[str, str, Callable[[], Figure]]) -> list[Plot]:
    """Draw, save and embed figures."""
    from distspc.results.plot.style import save_figure

    made = []
    for name, caption, draw in wanted:
        png, svg = save_figure(draw(), directory, name)
        links = tuple(f"{directory.name}/{file.name}" for file in (png, svg))
        made.append(Plot(name, caption, _embedded(png, svg), links))
    return made


def _embedded(png: Path, svg: Path) -> str:
    """Data URI of a figure: the SVG if it is light, else the PNG with fewer colours."""
    from PIL import Image

    if svg.stat().st_size <= _SVG_NBYTES:
        return data_uri(svg.read_bytes(), "image/svg+xml")
    buffer = io.BytesIO()
    with Image.open(png) as image:
        few = image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
        few.save(buffer, "PNG")
    return data_uri(buffer.getvalue(), "image/png")


# ---------------------------------------------------------------------------------------------- tables


def compare_measures(study: ReportData) -> list[tuple[str, str, list[Any]]]:
    """Zero-order Pearson correlations: layer, measure, then a row of the relations (or None) per score."""
    rows: list[Any] = list(zero_order_rows(study.relations).itertuples())
    known = {(row.layer, row.measure, row.score): row for row in rows}
    lines = dict.fromkeys((layer, measure) for layer, measure, _ in known)
    order = sorted(lines, key=lambda line: (list(MEASURES).index(line[1]), ["", *study.layers].index(line[0])))
    return [(layer, name, [known.get((layer, name, score)) for score in study.scores]) for layer, name in order]
