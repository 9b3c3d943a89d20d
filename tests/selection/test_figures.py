from distspc.selection.figures import distributions, factor_plane
from tests.selection.shared import BY


def test_the_factor_plane_shows_candidates_and_every_cell(selection):
    axes = factor_plane(selection, *BY).axes[0]
    points = [len(collection.get_offsets()) for collection in axes.collections]
    assert points == [200, 6, 6, 6, 6]
    assert "over 200 candidates" in axes.get_title(loc="left")


def test_distributions_have_a_row_of_dots_per_cell(selection):
    axes = distributions(selection, "norm:fc2").axes[0]
    assert [len(collection.get_offsets()) for collection in axes.collections] == [6] * 4
    assert [label.get_text() for label in axes.get_yticklabels()] == list(selection.cells)
