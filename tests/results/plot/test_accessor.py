"""Figures on axes of one's own show the numbers of the tables, of whatever study."""

import io
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

import distspc
from distspc.errors import InputError
from distspc.results.measures import MODEL_MEASURES, wide_table, zero_order_rows
from distspc.results.plot.accessor import Plots
from distspc.results.stored_tables import read_table_of
from distspc.results.tidy import labelled_table, target_errors
from distspc.store.store import Store
from distspc.testing.stores import image_ids, make_store, write_image_table, write_measures
from tests.report.shared import make_study

FIGURES = ("correlations", "scatter", "distributions", "matrix", "reliability", "training", "gallery")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_study(tmp_path_factory.mktemp("plots"))


@pytest.fixture
def ax():
    return Figure().subplots()


@pytest.fixture
def plot(store):
    return distspc.open_results(store).plot


@pytest.mark.parametrize("name", FIGURES)
def test_axes_are_taken_and_returned_with_a_title(plot, ax, name):
    assert getattr(plot, name)(ax=ax) is ax
    assert any(ax.get_title(loc=side) for side in ("left", "center"))
    assert name in repr(plot)


def test_without_axes_a_figure_is_made_and_pyplot_is_not_needed(store, tmp_path):
    code = (
        "import sys, distspc; plot = distspc.open_results(sys.argv[1]).plot\n"
        f"for name in {FIGURES}: getattr(plot, name)().figure.savefig(sys.argv[2] + name + '.png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(store), f"{tmp_path}/"], check=True, timeout=120)
    assert {path.stem for path in tmp_path.iterdir()} == set(FIGURES)


def test_correlations_drawn_are_those_of_the_table(store, plot, ax):
    plot.correlations("fa", ax=ax)
    rows = zero_order_rows(read_table_of(Store(store).relations))
    rows = rows[(rows["score"] == "fa") & (rows["measure"] == "reconstruction_error")]
    bars = next(one for one in ax.containers if one.get_label() == "reconstruction error")
    line, _, (spread,) = bars.lines
    np.testing.assert_allclose(np.asarray(line.get_ydata(), float), rows["r"].to_numpy(float))
    ends = np.array([segment[:, 1] for segment in spread.get_segments()])
    np.testing.assert_allclose(ends, rows[["ci_low", "ci_high"]].to_numpy(float))
    assert [text.get_text() for text in ax.get_xticklabels()] == ["block5\npool", "fc2"]
    assert ax.get_ylabel() == "Pearson r"
    assert len(ax.get_legend().get_texts()) == 3


def test_layers_measures_and_methods_are_chosen(plot, ax):
    plot.correlations(ax=ax, method="spearman", measures=["distinctiveness"], layers=["fc2"])
    assert ax.get_ylabel() == "Spearman ρ"
    assert "corrected_hit" in ax.get_title()
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["distinctiveness"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["fc2"]


def test_dots_are_the_images_of_the_table(store, plot, ax):
    plot.scatter("distinctiveness", "fa", layer="fc2", ax=ax)
    table = labelled_table(store)
    part = table[table["layer"] == "fc2"]
    np.testing.assert_allclose(ax.collections[0].get_offsets(), part[["distinctiveness", "fa"]])
    assert ax.get_xlabel() == "distance to the nearest neighbour (activation)"
    r = np.corrcoef(part["distinctiveness"], part["fa"])[0, 1]
    shown = f"r = {r:.2f}".replace("0.", ".").replace("-", "−")
    assert shown in ax.get_title()
    assert len(ax.child_axes) == 2


def test_ones_own_values_and_other_columns_are_drawn_too(plot, ax):
    own = pd.Series([1.0, 2.0, 3.0], ["targets/3", "targets/1", "nobody"], name="my rating")
    plot.scatter("reconstruction_error", own, ax=ax, margins=False)
    assert ax.collections[0].get_offsets()[:, 1].tolist() == [2.0, 1.0]
    assert ax.get_ylabel() == "my rating"
    assert not ax.child_axes
    other = plot.scatter("reconstruction_error", "distinctiveness", layer="block5_pool")
    assert other.get_ylabel() == "distinctiveness"


def test_matrix_has_the_correlations_of_all_columns(store, plot, ax):
    plot.matrix(ax=ax)
    wide = wide_table(labelled_table(store))
    order = sorted(wide.columns, key=lambda pair: MODEL_MEASURES.index(pair[0]))
    np.testing.assert_allclose(np.ravel(ax.collections[0].get_array()), np.ravel(wide[order].corr()))


def test_distributions_count_every_target_at_every_layer(store, plot, ax):
    plot.distributions("reconstruction_error", ax=ax)
    assert [row.get_ylabel() for row in ax.child_axes] == ["block5_pool", "fc2"]
    table = labelled_table(store)
    for row, (_, values) in zip(ax.child_axes, table.groupby("layer", sort=False), strict=True):
        assert sum(bars.get_data().values.sum() for bars in row.patches) == len(values)
        assert row.lines[0].get_xdata()[0] == np.median(values["reconstruction_error"])
    one = plot.distributions(layers=["fc2"])
    assert not one.child_axes
    assert one.get_ylabel() == "fc2"


def test_training_and_agreement_are_those_of_the_seeds(store, plot, ax):
    plot.training(layers=["fc2"], ax=ax)
    group = Store(store).reconstruction
    stored = group.read("training_error", layer=group.position("layer", "fc2"))
    np.testing.assert_array_equal([line.get_ydata() for line in ax.lines], stored)
    other = plot.reliability(layers=["fc2"], ax=Figure().subplots())
    assert other.lines[0].get_ydata()[0] == pytest.approx(target_errors(Store(store), "fc2").corr().iloc[0, 1])


def test_a_gallery_shows_the_ends_beside_their_neighbours(store, plot, ax):
    plot.gallery(end="smallest", layer="fc2", ax=ax)
    table = labelled_table(store)
    part = table[table["layer"] == "fc2"].sort_values("distinctiveness")
    names = [picture.get_title().split("\n")[0] for picture in ax.child_axes]
    assert names == [*part["image"][:6], *part["neighbour"][:6]]
    assert ax.get_title() == "Least distinctive (fc2)"


@pytest.mark.parametrize(("ask", "says"), [
    (lambda plot: plot.correlations("hits"), "no score 'hits'; .*there are corrected_hit, fa"),
    (lambda plot: plot.correlations(layers=["fc3"]), "no layer 'fc3'; did you mean 'fc2'"),
    (lambda plot: plot.correlations(measures=["normal"]), "no measure 'normal'"),
    (lambda plot: plot.scatter("typicality"), "no measure 'typicality'; there are"),
    (lambda plot: plot.scatter("distinctiveness", "file"), "no score or column 'file'"),
    (lambda plot: plot.gallery("norm"), "no gallery of 'norm'"),
    (lambda plot: plot.gallery(end="middle"), "no end 'middle'"),
])  # fmt: skip
def test_what_is_not_there_is_said(plot, ask, says):
    with pytest.raises(InputError, match=says):
        ask(plot)


def test_a_study_that_is_not_done_says_what_to_run(tmp_path):
    ids = image_ids(3, 1)
    write_image_table(tmp_path / "s.zarr", ids, 3)
    plot = Plots(tmp_path / "s.zarr")
    for name, says in (("correlations", "distspc relate"), ("scatter", "there are none yet"), ("matrix", "distspc run"),
                       ("training", "distspc reconstruct"), ("reliability", "two seeds")):  # fmt: skip
        with pytest.raises(InputError, match=says):
            getattr(plot, name)()


def test_layers_of_several_networks_are_told_apart_on_one_axes(tmp_path, ax):
    make_store(tmp_path / "s.zarr", n_targets=8, n_fillers=3, layers={"fc2@vgg": 4})
    write_measures(tmp_path / "s.zarr", image_ids(8, 3), 8, ["fc2@vgg", "fc2@dino"], seeds=(0, 1))
    plot = distspc.open_results(tmp_path / "s.zarr").plot
    plot.reliability(ax=ax)
    assert [text.get_text() for text in ax.get_xticklabels()] == ["fc2, vgg", "fc2, dino"]
    assert [one.get_title(loc="left") for one in plot.reliability().figure.axes] == ["vgg", "dino"]


def test_names_with_dollars_and_a_style_of_ones_own(plot):
    import matplotlib as mpl

    own = pd.Series(np.arange(24.0), [f"targets/{i + 1}" for i in range(24)], name="$\\frac$")
    with mpl.rc_context({"font.size": 20}):
        figure = Figure()
        ax = plot.scatter("reconstruction_error", own, ax=figure.subplots())
        figure.savefig(io.BytesIO(), format="png")
    assert ax.xaxis.label.get_size() == 20
