"""One self-contained HTML page about a study: what was run, what came out, what went wrong, how to cite it."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from distspc import findings, galleries, provenance, tables
from distspc import store as zarr_store
from distspc.csv_tables import safe_names
from distspc.galleries import data_uri
from distspc.notices import RULES, stored_notices
from distspc.tables import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SVG_NBYTES = 90_000  # beyond it a figure is embedded as pixels


@dataclass
class Plot:
    """A figure of the page."""

    name: str
    caption: str
    source: str
    files: tuple[str, ...] = ()


@dataclass
class _Study:
    """What the page is about, read once."""

    store: Path
    table: pd.DataFrame
    images: pd.DataFrame
    relations: pd.DataFrame
    models: pd.DataFrame
    comparisons: pd.DataFrame
    scores: list[str]
    layers: list[str]
    wide: pd.DataFrame = field(init=False)
    n_bootstrap: int = 0
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        self.wide = tables.wide_table(self.table)

    @property
    def file_names(self) -> dict[str, str]:
        """What the scores are called in the names of files."""
        return safe_names(self.scores)

    @property
    def n_targets(self) -> int:
        return int((self.images["role"] == "target").sum())

    def attributes(self, group: str) -> dict[str, Any]:
        return zarr_store.attributes(self.store, group) if zarr_store.exists(self.store, group) else {}


def write_report(
    store: str | Path,
    path: str | Path,
    *,
    layers: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    with_scores: bool = True,
    title: str | None = None,
    mark: str = "",
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
    with_scores
        Whether the scores and what relates to them are shown.
    title
        Heading; made of the store's name by default.
    mark
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
    from jinja2 import Environment, PackageLoader, StrictUndefined

    store, path = Path(store), Path(path)
    study = _read(store, layers, seeds, with_scores=with_scores)
    path.parent.mkdir(parents=True, exist_ok=True)
    environment = Environment(
        loader=PackageLoader("distspc"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    page = environment.get_template("report.html").render(
        title=title or _title(store),
        study=study,
        random_weights=provenance.has_random_weights(store),
        facts=provenance.facts(store, study.n_targets, len(study.images) - study.n_targets, study.layers, study.scores),
        headlines=_headlines(study),
        sections=_sections(study, path.parent / "figures"),
        galleries=_galleries(study, path.parent / "figures"),
        problems=provenance.problems(store, study.table, study.layers),
        left_out=provenance.left_out(store, study.layers, with_scores=with_scores),
        duplicates=provenance.duplicates(study.table),
        skipped=tables.read_table_of(store, "skipped").to_dict("records"),
        stages=provenance.stages(store, study.layers),
        environment=provenance.environment(),
        side_by_side=_side_by_side(study),
        measures=_measure_rows(study),
        files=_write_tables(study, path.parent / "tables"),
        distspc_version=_version(),
        mark=mark,
    )
    beside = path.with_name(path.name + ".part")
    beside.write_text(page, encoding="utf-8")
    return beside.replace(path)


def _read(store: Path, layers: Sequence[str] | None, seeds: Sequence[int] | None, *, with_scores: bool) -> _Study:
    table = tables.tidy_table(store, layers=layers, seeds=seeds, with_scores=with_scores)
    relations, models, comparisons = (
        tables.read_table_of(store, group) for group in ("relations", "models", "comparisons")
    )
    if not with_scores:
        relations, models, comparisons = (part.iloc[:0] for part in (relations, models, comparisons))
    if layers is not None:
        relations, comparisons = (part[part["layer"].isin(layers)] for part in (relations, comparisons))
        models = models[models["layer"].isin([*layers, "all"])]
    measured = tables.layer_order(list(table["layer"]))
    scores = list(dict.fromkeys(relations["score"]))
    study = _Study(store, table, tables.image_table(store), relations, models, comparisons, scores, measured)
    study.seeds = seeds
    study.n_bootstrap = int(study.attributes("relations").get("n_bootstrap", 0))
    return study


def _title(store: Path) -> str:
    name = store.resolve().parent.name if store.stem in ("study", "store") else store.stem
    return f"Study {name}"


def _version() -> str:
    try:
        return version("distspc")
    except PackageNotFoundError:
        return "unknown"


# ---------------------------------------------------------------------------------------------- findings and figures


@dataclass
class Section:
    """A part of the page: sentences, then figures."""

    title: str
    sentences: list[str]
    plots: list[Plot]


def _headlines(study: _Study) -> list[str]:
    """The few sentences that stand at the top: the first score alone."""
    if not study.scores:
        return [
            text for text in (findings.distance_sentence(study.table), findings.agreement_sentence(study.wide)) if text
        ]
    score = "corrected_hit" if "corrected_hit" in study.scores else study.scores[0]
    said = [findings.correlation_sentence(study.relations, score, measure) for measure in findings.HEADLINE]
    said.append(findings.partial_sentence(study.relations, score, "reconstruction_error", "distinctiveness"))
    said += findings.across_sentences(study.relations, score)[:1]
    said += [findings.model_sentence(study.models, score), findings.contrast_sentence(study.relations)]
    return [text for text in said if text]


def _sections(study: _Study, directory: Path) -> list[Section]:
    made = [_score_section(study, score, directory) for score in study.scores]
    made += [_measure_section(study, directory), _training_section(study, directory)]
    return [section for section in made if section.plots or section.sentences]


def _score_section(study: _Study, score: str, directory: Path) -> Section:
    from distspc import figures

    def by_layer() -> Figure:
        return figures.correlation_by_layer(study.relations, score)

    step = f" from {study.n_bootstrap:,} resamples" if study.n_bootstrap else ""
    caption = f"Pearson correlation of each measure with {score} by layer; bars are 95 % bootstrap intervals{step}."
    plots = _plots(directory, (f"correlation_{study.file_names[score]}", caption, by_layer))
    for measure in findings.HEADLINE:
        plots += _scatter(study, score, measure, directory)
    said = findings.score_sentences(study.relations, study.models, study.comparisons, score)
    said.append(findings.rank_sentence(study.relations, score))
    said += [notice.text for notice in stored_notices(study.store, ["scores"], key=RULES)]
    return Section(f"Relation to {score}", [text for text in said if text], plots)


def _scatter(study: _Study, score: str, measure: str, directory: Path) -> list[Plot]:
    from distspc import figures

    rows = findings.plain_rows(study.relations, score, measure)
    if rows.empty:
        return []
    layer = findings.headline_layer(measure, list(rows["layer"]))
    row = rows[rows["layer"] == layer].iloc[0]
    part = study.table[study.table["layer"] == layer]
    note = f"r = {findings.short(row['r'])} [{findings.short(row['ci_low'])}, {findings.short(row['ci_high'])}]"

    def draw() -> Figure:
        return figures.scatter(
            part, measure, tables.score_columns(study.scores)[score], layer=layer, note=note, label=score
        )

    caption = (
        f"{MEASURES[measure].capitalize()} at {layer} against {score}, a dot per image, with the regression line: "
        f"{findings.interval_text(row)}, {findings.p_text(row['p'], n_bootstrap=study.n_bootstrap)}."
    )
    return _plots(directory, (f"scatter_{measure}_{study.file_names[score]}", caption, draw))


def _measure_section(study: _Study, directory: Path) -> Section:
    from distspc import figures

    present = [name for name in findings.HEADLINE if name in tables.measures_of(study.table)]
    wanted: list[tuple[str, str, Callable[[], Figure]]] = []
    for measure in present:
        caption = f"Distribution of {MEASURES[measure]} over the targets; the line is the median. Axes differ by layer."
        draw = functools.partial(figures.distributions, study.table, measure)
        wanted.append((f"distribution_{measure}", caption, draw))
    if study.wide.shape[1] > 1 and len(study.wide) > 2:
        caption = "Pearson correlations of the measures of all layers with each other."
        wanted.append(("measures", caption, lambda: figures.measure_matrix(study.wide)))
    said = [findings.distance_sentence(study.table) if "distinctiveness" in present else ""]
    said.append(findings.agreement_sentence(study.wide))
    return Section("The measures", [text for text in said if text], _plots(directory, *wanted))


def _training_section(study: _Study, directory: Path) -> Section:
    from distspc import figures

    if not zarr_store.exists(study.store, "reconstruction"):
        return Section("", [], [])
    curves, converged = provenance.training(study.store, study.layers)
    pairs, n_seeds = provenance.seed_pairs(study.store, study.layers, study.seeds)
    wanted: list[tuple[str, str, Callable[[], Figure]]] = []
    if curves:
        caption = "Mean squared residual of each training batch, by layer."
        wanted.append(("training", caption, lambda: figures.training_curves(curves)))
    if pairs:
        caption = "Agreement of the reconstruction errors of different seeds over targets, by layer."
        n = study.n_targets
        wanted.append(("reliability", caption, lambda: figures.reliability_over_seeds(pairs, n_seeds=n_seeds, n=n)))
    said = [findings.training_sentence(curves, converged)]
    said.append(findings.step_sentence(provenance.shortened(study.store, study.layers)))
    said += [findings.reliability_sentence(pairs, n_seeds), findings.icc_sentence(study.table)]
    return Section("Sparse coding", [text for text in said if text], _plots(directory, *wanted))


def _galleries(study: _Study, directory: Path) -> list[galleries.Gallery]:
    """Galleries of the study; those with pictures are also written as figures."""
    from distspc.figures import save_figure

    found = galleries.find_extremes(study.table, study.images)
    for gallery in found:
        if gallery.has_pictures:
            files = save_figure(galleries.draw(gallery), directory, gallery.name)
            gallery.files = tuple(f"{directory.name}/{file.name}" for file in files)
    return found


def _plots(directory: Path, *wanted: tuple[str, str, Callable[[], Figure]]) -> list[Plot]:
    """Draw, save and embed figures."""
    from distspc.figures import save_figure

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
        image.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            buffer, "PNG", optimize=True
        )
    return data_uri(buffer.getvalue(), "image/png")


# ---------------------------------------------------------------------------------------------- tables


def _side_by_side(study: _Study) -> list[tuple[str, str, list[Any]]]:
    """Plain Pearson correlations: layer, measure, then a row of the relations (or None) per score."""
    plain = study.relations[(study.relations["given"] == "") & (study.relations["method"] == "pearson")]
    rows: list[Any] = list(plain.itertuples())
    known = {(row.layer, row.measure, row.score): row for row in rows}
    lines = dict.fromkeys((layer, measure) for layer, measure, _ in known)
    order = sorted(lines, key=lambda line: (list(MEASURES).index(line[1]), study.layers.index(line[0])))
    return [(layer, name, [known.get((layer, name, score)) for score in study.scores]) for layer, name in order]


def _measure_rows(study: _Study) -> list[dict[str, Any]]:
    """Summary of every measure at every layer."""
    rows = []
    for layer in study.layers:
        part = study.table[study.table["layer"] == layer]
        for measure in tables.measures_of(part):
            values = part[measure].dropna()
            told = {"layer": layer, "measure": MEASURES[measure], "n": len(values), "mean": values.mean()}
            rows.append(
                told | {"sd": values.std(), "min": values.min(), "median": values.median(), "max": values.max()}
            )
    return rows


def _write_tables(study: _Study, directory: Path) -> list[tuple[str, str]]:
    """Write the tables as CSV; returns their links and what is in them."""
    directory.mkdir(parents=True, exist_ok=True)
    wanted = {
        "measures": (study.table, "every target and layer: measures, nearest neighbour, scores"),
        "relations": (study.relations, "all correlations, plain and partial"),
        "models": (study.models, "joint models"),
        "comparisons": (study.comparisons, "comparisons of dependent correlations"),
    }
    written = []
    for name, (frame, text) in wanted.items():
        if len(frame):
            frame.to_csv(directory / f"{name}.csv", index=False)
            written.append((f"{directory.name}/{name}.csv", text))
    return written


def _plain(value: Any) -> str:
    """Number of a table as text with four digits."""
    return f"{value:,}" if isinstance(value, int | np.integer) else findings.amount(value)


def _p(value: float) -> str:
    return findings.p_cell(value)


def _bootstrap_p(value: float, n_bootstrap: int) -> str:
    return findings.p_cell(value, n_bootstrap=n_bootstrap or None)


def _measure_name(name: str) -> str:
    return MEASURES.get(name, name)


def _given(text: str) -> str:
    return text.replace("_", " ").replace(":", " ")


def _tint(r: float) -> str:
    """Background of a correlation: the darker the stronger; warm above 0, blue below."""
    share = min(abs(r), 1.0) if np.isfinite(r) else 0.0
    hue = "213 94 0" if r > 0 else "0 114 178"
    return f"rgb({hue} / {0.5 * share:.2f})"


_FILTERS: dict[str, Callable[..., str]] = {
    "r": findings.short,
    "p": _p,
    "bootstrap_p": _bootstrap_p,
    "plain": _plain,
    "measure": _measure_name,
    "given": _given,
    "tint": _tint,
}
