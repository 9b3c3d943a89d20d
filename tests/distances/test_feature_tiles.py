"""Tests of `distspc.distances.feature_tiles`."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from distspc.distances.feature_tiles import Partial, add_partials
from distspc.distances.options import PROTOCOLS
from distspc.distances.planning.plan import DistancePlan
from distspc.errors import InputError
from distspc.kernels.distance.products import METRICS
from distspc.kernels.distance.rows import row_statistics
from distspc.store.store import Store
from distspc.testing.stores import make_store
from tests.distances.shared import FEATURE_TILES, brute_force, difficult, layer_size, run, run_plan


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("spread", [0.004, 0.02, 0.5])
def test_mean_distance_to_a_pool_that_lies_close_together(tmp_path, metric, spread):
    # Two clusters around u and -u, each a category, and each target with a near-duplicate in its own.
    rng = np.random.default_rng(3)
    u, sign = rng.standard_normal(700), np.where(np.arange(200) % 2, 1, -1)
    x = (sign[:, None] * u + spread * rng.standard_normal((200, 700))).astype(np.float32)
    x[100:140] = x[:40] + np.float32(1e-6) * rng.standard_normal((40, 700), dtype=np.float32)
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=40, n_fillers=160, layers={"fc2": 700}, activations={"fc2": x})
    category = np.where(sign > 0, "a", "b")
    Store(path).images.write("category", category.tolist())
    found = run(path, category="category", metric=metric)
    distance, _, pool = brute_force(x, 40, category=category, metric=metric)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=3e-6)
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-6)


@st.composite
def cuts(draw, size):
    """Any plan of a layer, whether it would be chosen or not."""
    whole = st.integers(1, size.chunks_of_features).map(lambda n: min(n * size.chunk_features, size.n_features))
    n_targets, chunks = draw(st.integers(1, size.n_targets)), -(-size.n_images // size.chunk_rows)
    return DistancePlan(
        size,
        n_targets=n_targets,
        n_images=size.chunk_rows * draw(st.integers(1, chunks)),
        n_features=draw(whole),
        tile_rows=size.chunk_rows * draw(st.integers(1, 2)),
        n_settled=draw(st.integers(1, n_targets)),
    )


# No shrinking: each example writes stores, and what was drawn says enough.
@settings(deadline=None, max_examples=12, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_results_are_the_same_to_the_last_bit_for_every_cut(tmp_path_factory, data):
    n_targets, n_fillers = data.draw(st.integers(1, 25)), data.draw(st.integers(4, 40))
    n_features = data.draw(st.integers(2, 1700))
    blocks = data.draw(st.booleans())  # as in the layers of a network: no block of features is cut
    least = max(1, n_features // 6)
    chunks = {
        "image": data.draw(st.integers(1, 20)),
        "feature": min(n_features, 512) if blocks else data.draw(st.integers(least, n_features)),
    }
    options = {
        "protocol": data.draw(st.sampled_from(PROTOCOLS)),
        "metric": data.draw(st.sampled_from(METRICS)),
        "n_neighbours": data.draw(st.integers(1, 3)),
    }
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((n_targets + n_fillers, n_features), dtype=np.float32)
    x += data.draw(st.sampled_from([0, 100]))
    x[-1] = x[0]
    path = tmp_path_factory.mktemp("cuts") / "s.zarr"
    sizes = {"n_targets": n_targets, "n_fillers": n_fillers, "layers": {"fc2": n_features}}
    make_store(path, **sizes, activations={"fc2": x}, chunks=chunks)
    size, expected = layer_size(path, **options), None
    for _ in range(4):
        n_threads = data.draw(st.integers(1, 4))
        found = run_plan(path, data.draw(cuts(size)), n_threads=n_threads, **options)
        expected = expected or found
        for name in ("distance", "neighbour_index", "mean_distance", "duplicate_of", *(["norm"] if blocks else [])):
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
        np.testing.assert_allclose(found["norm"], expected["norm"], rtol=1e-13)
        np.testing.assert_allclose(found["pool_distance"], expected["pool_distance"], rtol=3e-6)
    distance, neighbour, pool = brute_force(x, n_targets, **options)
    there = np.isfinite(distance)
    assert expected["neighbour_index"][there].tolist() == neighbour[there].tolist()
    np.testing.assert_allclose(expected["distance"][there], distance[there], rtol=1e-6)
    np.testing.assert_allclose(expected["pool_distance"], pool, rtol=3e-6)


@pytest.mark.parametrize(
    "kind", ["far from the origin", "two far clusters", "many ties", "near-duplicates with large norms"]
)
def test_where_many_pairs_are_close_products_are_made_again_in_float64(tmp_path, kind):
    x, path = difficult(kind, 120, 1536), tmp_path / "s.zarr"
    x[60:] = x[:60]
    layer = {"layers": {"fc2": 1536}, "activations": {"fc2": x}, "chunks": {"image": 16, "feature": 512}}
    make_store(path, n_targets=50, n_fillers=70, **layer)
    size = layer_size(path)
    found = [run_plan(path, DistancePlan(size, *cut)) for cut in ((50, 128, 512, 16, 20), (50, 128, 1536, 16, 50))]
    for name in ("distance", "neighbour_index", "duplicate_of", "norm"):
        np.testing.assert_array_equal(found[0][name], found[1][name], err_msg=name)


def test_a_task_of_many_candidates_reads_its_tiles_again(tmp_path):
    x, path = difficult("two far clusters", 200, 1024), tmp_path / "s.zarr"
    make_store(
        path,
        n_targets=100,
        n_fillers=100,
        layers={"fc2": 1024},
        activations={"fc2": x},
        chunks={"image": 20, "feature": 512},
    )
    found = run_plan(path, DistancePlan(layer_size(path), 100, 200, 512, 20, 100))
    distance, neighbour, _ = brute_force(x, 100)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    assert found["bytes_read"] >= 2 * x.nbytes
    assert found["n_rescored"] < 0.1 * 100 * 200


@pytest.mark.parametrize("image", [2, 30])
def test_an_image_that_cannot_be_scaled_is_named_whether_target_or_filler(tmp_path, image):
    x = np.random.default_rng(0).random((40, 1024), dtype=np.float32)
    x[image] = 0
    chunks = {"image": 20, "feature": 512}
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=10, n_fillers=30, layers={"fc2": 1024}, activations={"fc2": x}, chunks=chunks)
    name = Store(path).images.labels("image")[image]
    with pytest.raises(InputError, match=f"the activations of image {name} are all 0"):
        run(path, limits=FEATURE_TILES, metric="cosine")


def test_sums_of_tiles_know_of_how_many_they_are():
    rows = row_statistics(np.ones((2, 512), np.float32))
    one = Partial(np.ones((2, 2)), np.dtype(np.float32), rows, rows, n_tiles=1, read_nbytes=5)
    both = add_partials([add_partials([one, one]), one])
    assert (both.n_tiles, both.read_nbytes) == (3, 15)
    assert (both.products == 3).all()


def test_norms_are_the_same_to_the_last_bit_of_whole_rows_and_of_fifteen_tiles(tmp_path):
    x, path = np.random.default_rng(0).random((40, 7680), dtype=np.float32), tmp_path / "s.zarr"
    layer = {"layers": {"fc2": 7680}, "activations": {"fc2": x}, "chunks": {"image": 20, "feature": 512}}
    make_store(path, n_targets=20, n_fillers=20, **layer)
    size = layer_size(path)
    whole, cut = (run_plan(path, DistancePlan(size, 20, 40, n, 20, 20))["norm"] for n in (7680, 512))
    np.testing.assert_array_equal(cut, whole)


def test_images_that_have_the_halves_of_another_swapped_are_no_duplicates(tmp_path):
    x, path = np.random.default_rng(0).random((30, 1024), dtype=np.float32), tmp_path / "s.zarr"
    x[20:] = np.roll(x[:10], 512, axis=1)
    x[19] = x[3]
    chunks = {"image": 20, "feature": 512}
    make_store(path, n_targets=10, n_fillers=20, layers={"fc2": 1024}, activations={"fc2": x}, chunks=chunks)
    found = run_plan(path, DistancePlan(layer_size(path), 10, 40, 512, 20, 10))["duplicate_of"]
    assert np.flatnonzero(found >= 0).tolist() == [19]
    assert found[19] == 3
