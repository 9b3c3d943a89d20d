"""Tests of `distspc.distances.gram`."""

from __future__ import annotations

import dask
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from distspc.distances import gram
from distspc.distances.options import LayerOptions
from distspc.distances.planning.gram_plan import GramPlan, plan_grams
from distspc.errors import InputError, StoreMismatchError
from distspc.schedule import Workers
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute, write_moments

TOLERANCE = 1e-12
"""Of an entry, over the product of the norms of the two rows."""


def options(path, layer="fc2", **others):
    return LayerOptions(store=Store(path), layer=layer, **others)


def computed(path, plan=None, *, n_threads=2, **others):
    """The Gram matrix of a layer, made as planned."""
    asked = options(path, n_threads=n_threads, **others)
    plan = plan or plan_grams([gram.check_gram(asked)], Workers())[asked.layer]
    gram.prepare(asked, plan)
    dask.compute(*gram.tasks(asked, plan), scheduler="synchronous")
    assert not gram.missing(asked)
    row = Store(path).gram.position("layer", asked.layer)
    return Store(path).gram.read("gram", layer=row)


def assert_exact(found, rows):
    """Every entry is the product of the rows in float64, next to their norms."""
    rows = rows.astype(np.float64)
    norms = np.linalg.norm(rows, axis=1)
    assert np.abs((found - rows @ rows.T) / (norms[:, None] * norms)).max() < TOLERANCE
    np.testing.assert_array_equal(found, found.T)


def standardised(rows):
    """Features over all images as the method has them: in float64, rounded to float32."""
    values = rows.astype(np.float64)
    sd = values.std(axis=0)
    return ((values - values.mean(axis=0)) / np.where(sd == 0, 1, sd)).astype(np.float32)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("gram") / "s.zarr"
    chunks = {"image": 16, "feature": 512}
    made = make_store(path, n_targets=30, n_fillers=20, layers={"fc2": 1400, "fc1": 70}, chunks=chunks)
    for layer in made:
        write_moments(path, layer)
    return path, made


@st.composite
def cuts(draw, size):
    """Any plan, whether it would be chosen or not."""
    n_chunks = draw(st.integers(1, size.chunks_of_features))
    features = min(n_chunks * size.chunk_features, size.n_features)
    return GramPlan(size, draw(st.sampled_from([8, 16, 24, size.n_targets])), features, chunk_rows=8)


@settings(deadline=None, max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_it_is_the_product_of_the_targets_rows_for_every_cut(small, data):
    path, made = small
    layer, scaling = data.draw(st.sampled_from(list(made))), data.draw(st.sampled_from(["none", "z-score"]))
    asked = options(path, layer, scaling=scaling)
    Store(path).gram.remove()
    found = computed(path, data.draw(cuts(gram.check_gram(asked))), n_threads=data.draw(st.integers(1, 3)),
                     layer=layer, scaling=scaling)  # fmt: skip
    rows = made[layer] if scaling == "none" else standardised(made[layer])
    assert_exact(found, rows[:30])


@pytest.mark.parametrize("kind", ["far from the origin", "all sizes"])
def test_centres_of_tiles_are_put_back(tmp_path, kind):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((40, 300))
    rows = rows + 1000 if kind == "far from the origin" else rows * 10.0 ** rng.integers(-9, 9, (40, 1))
    path = tmp_path / "s.zarr"
    values = rows.astype(np.float32)
    sizes = {"n_targets": 40, "n_fillers": 0, "layers": {"fc2": 300}}
    make_store(path, **sizes, activations={"fc2": values}, chunks={"image": 16, "feature": 100})
    size = gram.check_gram(options(path))
    assert_exact(computed(path, GramPlan(size, 16, 100, chunk_rows=16)), values)


def test_what_is_there_is_left_alone_and_asks_for_no_activations(tmp_path):
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=4, layers={"fc2": 30})
    asked = options(path)
    assert gram.missing(asked)
    assert not Store(path).gram.exists()
    plan = GramPlan(gram.check_gram(asked), 8, 30, chunk_rows=8)
    with no_compute():
        gram.prepare(asked, plan)
        tasks = gram.tasks(asked, plan)
    assert len(tasks) == 6  # of 9 blocks, those on and above the diagonal
    dask.compute(tasks[1:3], scheduler="synchronous")
    assert gram.missing(asked)
    assert len(gram.tasks(asked, plan)) == 4
    dask.compute(gram.tasks(asked, plan), scheduler="synchronous")
    Store(path).layer("fc2").remove()
    assert not gram.missing(asked)


def test_another_scaling_is_refused(small):
    path, _ = small
    Store(path).gram.remove()
    computed(path)
    with pytest.raises(StoreMismatchError, match="scaling was"):
        gram.missing(options(path, scaling="z-score"))


def test_what_it_cannot_be_made_of(tmp_path):
    path = tmp_path / "s.zarr"
    values = np.ones((5, 8), np.float32)
    values[2, 3] = np.nan
    make_store(path, n_targets=5, n_fillers=0, layers={"fc2": 8}, activations={"fc2": values})
    with pytest.raises(InputError, match="NaN or infinite activations of image targets/3"):
        computed(path)
    Store(path).gram.remove()
    with pytest.raises(InputError, match="means and standard deviations"):
        gram.missing(options(path, scaling="z-score"))
    path = tmp_path / "one.zarr"
    make_store(path, n_targets=1, n_fillers=3, layers={"fc2": 8})
    with pytest.raises(InputError, match="fc2: 1 target; a readout needs two or more"):
        gram.missing(options(path))
