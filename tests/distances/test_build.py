"""The distances stage against brute force in float64 over x - y."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from distspc.distances import finish
from distspc.distances.build import layer_tasks, nearest_distances
from distspc.distances.options import PROTOCOLS, LayerOptions, TileLimits
from distspc.distances.plan import LayerSize, smallest_task_nbytes
from distspc.errors import InputError, StoreMismatchError
from distspc.kernels.distance.products import METRICS
from distspc.store.store import Store
from distspc.testing.stores import make_store, no_compute, relu_activations

N_TARGETS, N_IMAGES = 30, 90
CHUNKS = {"image": 16, "feature": 512}
DUPLICATES = ((0, 5), (3, 60), (40, 70), (7, 61), (7, 62))


def brute_force(
    x: np.ndarray,
    n_targets: int,
    *,
    protocol: str = "paper",
    metric: str = "euclidean",
    n_neighbours: int = 1,
    category: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distances and positions of the nearest, mean distance to the pool; float64 over x - y, one target at a time."""
    rows = x.astype(np.float64)
    if metric == "correlation":
        rows = rows - rows.mean(axis=1, keepdims=True)
    if metric != "euclidean":
        rows = rows / np.sqrt((rows**2).sum(axis=1, keepdims=True))
    found = []
    for i in range(n_targets):
        square = ((rows[i] - rows) ** 2).sum(axis=1)
        distance = np.sqrt(square) if metric == "euclidean" else square / 2
        distance[i] = np.inf
        if protocol == "spc-public":
            distance[:n_targets] = np.inf
        if protocol != "paper":
            distance[distance == 0] = np.inf
        if category is not None:
            distance[category != category[i]] = np.inf
        nearest = np.argsort(distance, kind="stable")[:n_neighbours]
        found.append((distance[nearest], nearest, distance[np.isfinite(distance)].mean()))
    parts = [np.array(part) for part in zip(*found, strict=True)]
    return parts[0], parts[1], parts[2]


def run(path: Path, *, limits: TileLimits | None = None, **options: Any) -> dict[str, np.ndarray]:
    """Compute layer fc2 afresh, cut as some limits say, and return its row of every variable."""
    Store(path).distances.remove()
    if limits is None:
        tasks = nearest_distances(path, layer="fc2", **options)
    else:
        tasks = limited_tasks(path, limits, **options)
    dask.compute(*tasks, scheduler="synchronous")
    tiled = any("distances-product" in str(key) for key in tasks[-1].dask)
    return stored(path) | {"whole_rows": np.array(not tiled)}


def limited_tasks(
    path: Path,
    limits: TileLimits,
    *,
    protocol: str = "paper",
    metric: str = "euclidean",
    n_neighbours: int = 1,
    category: str | None = None,
    n_threads: int | None = None,
    **resources: Any,
) -> list[Any]:
    place: dict[str, Any] = {"store": Store(path), "layer": "fc2", "n_threads": n_threads, "limits": limits}
    return layer_tasks(LayerOptions(protocol, metric, n_neighbours, category, **place), **resources)


def stored(path: Path, layer: str = "fc2") -> dict[str, np.ndarray]:
    names = ("distance", "neighbour_index", "mean_distance", "pool_distance", "norm", "duplicate_of")
    row = Store(path).distances.position("layer", layer)
    counts = {name: Store(path).distances.read(name)[row] for name in ("n_rescored", "bytes_read")}
    return {name: Store(path).distances.read(name, layer=row) for name in names} | counts


WHOLE_ROWS, FEATURE_TILES = TileLimits(max_reread_share=np.inf), TileLimits(max_reread_share=-np.inf)
CUTS = pytest.mark.parametrize("limits", [WHOLE_ROWS, FEATURE_TILES], ids=["whole rows", "feature tiles"])


@pytest.fixture(scope="module")
def relu_store(tmp_path_factory):
    path = tmp_path_factory.mktemp("distances") / "s.zarr"
    fillers = N_IMAGES - N_TARGETS
    made = make_store(
        path, n_targets=N_TARGETS, n_fillers=fillers, layers={"fc2": 1400}, duplicates=DUPLICATES, chunks=CHUNKS
    )
    return path, made["fc2"]


# ---------------------------------------------------------------- the same as brute force


@CUTS
@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("n_neighbours", [1, 5])
def test_equals_brute_force(relu_store, limits, metric, protocol, n_neighbours):
    path, x = relu_store
    options = {"protocol": protocol, "metric": metric, "n_neighbours": n_neighbours}
    found = run(path, limits=limits, **options, n_workers=2)
    distance, neighbour, pool = brute_force(x, N_TARGETS, **options)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    assert ((found["distance"] == 0) == (distance == 0)).all()
    np.testing.assert_allclose(found["mean_distance"], distance.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)
    np.testing.assert_allclose(found["norm"], np.linalg.norm(x.astype(float), axis=1), rtol=1e-13)


@CUTS
def test_exact_duplicates_are_reported(relu_store, limits):
    path, _ = relu_store
    duplicate_of = run(path, limits=limits)["duplicate_of"]
    assert {int(i): int(duplicate_of[i]) for i in np.flatnonzero(duplicate_of >= 0)} == {
        copy: source for source, copy in DUPLICATES
    }


@CUTS
def test_protocols_treat_duplicates_as_they_say(relu_store, limits):
    path, _ = relu_store
    found = {protocol: run(path, limits=limits, protocol=protocol) for protocol in PROTOCOLS}
    twins = [0, 3, 5, 7]
    assert (found["paper"]["distance"][twins, 0] == 0).all()
    assert found["paper"]["neighbour_index"][twins, 0].tolist() == [5, 60, 0, 61]
    assert (found["distinct"]["distance"] > 0).all()
    assert (found["spc-public"]["neighbour_index"] >= N_TARGETS).all()
    assert (found["spc-public"]["distance"] > 0).all()


def difficult(kind: str, n: int, n_features: int) -> np.ndarray:
    rng = np.random.default_rng(8)
    noise = rng.standard_normal((n, n_features))
    values = {
        "near-duplicates with large norms": 1e4 * np.repeat(noise[: n // 5], 5, axis=0) + 1e-2 * noise,
        "far from the origin": 1e5 + noise,
        "two far clusters": rng.choice([-1e5, 1e5], (n, 1)) + noise,
        "constant features": np.where(np.arange(n_features) % 3, 7.0, noise),
        "small numbers": 1e-30 * noise,
        "large numbers": 1e37 * noise,
        "all sizes": 10.0 ** rng.integers(-18, 18, (n, 1)) * noise,
        "many ties": rng.integers(0, 2, (n, n_features)) * (rng.random((n, n_features)) < 0.01),
        "many duplicates": np.repeat(noise[: n // 10], 10, axis=0),
        "one image far off": noise * np.where(np.arange(n) == 2, 1e30, 1)[:, None],
    }[kind]
    return np.ascontiguousarray(values, dtype=np.float32)


DIFFICULT = (
    "near-duplicates with large norms",
    "far from the origin",
    "two far clusters",
    "constant features",
    "small numbers",
    "large numbers",
    "all sizes",
    "many ties",
    "many duplicates",
    "one image far off",
)


@CUTS
@pytest.mark.parametrize("data", DIFFICULT)
def test_equals_brute_force_on_difficult_data(tmp_path, limits, data):
    x = difficult(data, 60, 1200)
    path = tmp_path / "s.zarr"
    make_store(
        path,
        n_targets=25,
        n_fillers=35,
        layers={"fc2": 1200},
        activations={"fc2": x},
        chunks={"image": 8, "feature": 512},
    )
    for protocol in ("paper", "distinct"):
        found = run(path, limits=limits, protocol=protocol, n_neighbours=2)
        distance, neighbour, pool = brute_force(x, 25, protocol=protocol, n_neighbours=2)
        assert found["neighbour_index"].tolist() == neighbour.tolist()
        np.testing.assert_allclose(found["distance"], distance, rtol=1e-9)
        assert ((found["distance"] == 0) == (distance == 0)).all()
        np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-4)


def test_float16_activations(tmp_path):
    x = relu_activations(50, 600).astype(np.float16)
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 600}, activations={"fc2": x})
    found = run(path)
    distance, neighbour, _ = brute_force(x, 20)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)


@CUTS
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_within_a_category(relu_store, limits, protocol):
    path, x = relu_store
    category = Store(path).images.read("category")
    found = run(path, limits=limits, category="category", protocol=protocol, n_neighbours=2)
    distance, neighbour, pool = brute_force(x, N_TARGETS, category=category, protocol=protocol, n_neighbours=2)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-12)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


@CUTS
@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("rows", ["relu", "near-duplicates with large norms", "two far clusters"])
def test_targets_taken_some_at_a_time(tmp_path, limits, rows, n_threads):
    # As with more targets than fit in a tile: those of one tile, and each tile with those below it, both ways.
    limits = replace(limits, tile_rows=8, feature_tile_rows=8)
    n_targets, x = 45, relu_activations(60, 1300) if rows == "relu" else difficult(rows, 60, 1300)
    x[40] = x[2]
    chunks = {"image": 4, "feature": 512}
    make_store(
        tmp_path / "s", n_targets=n_targets, n_fillers=15, layers={"fc2": 1300}, activations={"fc2": x}, chunks=chunks
    )
    found = run(tmp_path / "s", limits=limits, n_threads=n_threads, n_neighbours=2)
    distance, neighbour, pool = brute_force(x, n_targets, n_neighbours=2)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    np.testing.assert_allclose(found["distance"], distance, rtol=1e-9)
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


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


@CUTS
@pytest.mark.parametrize("n_threads", [1, 2])
def test_many_duplicates(tmp_path, limits, n_threads):
    limits = replace(limits, pairs_at_once=100)
    x = relu_activations(300, 600)
    x[20:250] = x[0]
    make_store(tmp_path / "s", n_targets=80, n_fillers=220, layers={"fc2": 600}, activations={"fc2": x})
    found = run(tmp_path / "s", limits=limits, n_threads=n_threads, n_neighbours=3)
    distance, neighbour, pool = brute_force(x, 80, n_neighbours=3)
    assert found["neighbour_index"].tolist() == neighbour.tolist()
    assert ((found["distance"] == 0) == (distance == 0)).all()
    np.testing.assert_allclose(found["pool_distance"], pool, rtol=1e-6)


@CUTS
@pytest.mark.parametrize("seed", range(6))
def test_a_pool_of_duplicates_alone(tmp_path, limits, seed):
    x = np.random.default_rng(seed).standard_normal((8, 600), dtype=np.float32)
    x[[1, 2, 3]] = x[0]
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=6, layers={"fc2": 600}, activations={"fc2": x})
    Store(path).images.write("category", ["a", "a", "a", "a", "b", "b", "b", "b"])
    assert run(path, limits=limits, category="category")["pool_distance"].tolist() == [0, 0]
    assert np.isnan(run(path, limits=limits, protocol="distinct", category="category")["pool_distance"]).all()


def test_dropped_duplicates_can_leave_fewer_neighbours(tmp_path, caplog):
    x = relu_activations(4, 600)
    x[1] = x[2] = x[0]
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=2, n_fillers=2, layers={"fc2": 600}, activations={"fc2": x})
    with caplog.at_level(logging.WARNING, logger="distspc.distances.build"):
        found = run(path, protocol="distinct", n_neighbours=2)
    assert found["neighbour_index"].tolist() == [[3, -1], [3, -1]]
    assert np.isnan(found["distance"][:, 1]).all()
    assert "fewer than 2 neighbours" in caplog.text


# ---------------------------------------------------------------- any tiling, same answer


# No shrinking: each example writes stores, and what was drawn says enough.
@settings(deadline=None, max_examples=6, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(data=st.data())
def test_any_tiling_same_answer(tmp_path_factory, data):
    n_targets, n_fillers = data.draw(st.integers(1, 25)), data.draw(st.integers(3, 40))
    n_features = data.draw(st.integers(2, 1300))
    chunks = {
        "image": data.draw(st.integers(1, 20)),
        "feature": data.draw(st.integers(max(1, n_features // 6), n_features)),
    }
    options = {"protocol": data.draw(st.sampled_from(PROTOCOLS)), "n_neighbours": data.draw(st.integers(1, 2))}
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    x = rng.standard_normal((n_targets + n_fillers, n_features), dtype=np.float32)
    x[-1] = x[0]
    expected = None
    for layout in (chunks, {}):
        path = tmp_path_factory.mktemp("tiling") / "s.zarr"
        make_store(
            path,
            n_targets=n_targets,
            n_fillers=n_fillers,
            layers={"fc2": n_features},
            activations={"fc2": x},
            chunks=layout,
        )
        for reread, least in ((np.inf, False), (np.inf, True), (-np.inf, False), (-np.inf, True)):
            spread = {"n_workers": data.draw(st.integers(1, 4)), "n_threads": data.draw(st.integers(1, 4))}
            found = _run_cut(path, reread, least, **spread, **options)
            if expected is None:
                expected = found
            assert found["neighbour_index"].tolist() == expected["neighbour_index"].tolist()
            if found["whole_rows"]:
                assert found["distance"].tolist() == expected["distance"].tolist()  # to the last bit
            np.testing.assert_allclose(found["distance"], expected["distance"], rtol=1e-9)
            np.testing.assert_allclose(found["pool_distance"], expected["pool_distance"], rtol=1e-6)
            assert found["duplicate_of"].tolist() == expected["duplicate_of"].tolist()


def _run_cut(path: Path, reread: float, least: bool, **options: Any) -> dict[str, np.ndarray]:
    limits = TileLimits(max_reread_share=reread, fixed_nbytes=0)
    if not least:
        return run(path, limits=limits, **options)
    limits = replace(limits, images_per_task=8, tile_rows=4)
    return run(path, limits=limits, memory_nbytes=_least_memory(path, limits), **options)


def _least_memory(path: Path, limits: TileLimits) -> int:
    sizes = Store(path).layer("fc2").sizes
    chunk = Store(path).layer("fc2").chunks("activation")
    size = LayerSize("fc2", 1, (0, sizes["image"]), sizes["feature"], chunk["image"], chunk["feature"])
    return 2 * smallest_task_nbytes(size, limits)


def test_same_on_threads(relu_store):
    path, x = relu_store
    Store(path).distances.remove()
    dask.compute(*nearest_distances(path, layer="fc2", n_workers=6, n_threads=1), scheduler="threads")
    assert stored(path)["neighbour_index"].tolist() == brute_force(x, N_TARGETS)[1].tolist()


def test_bytes_read_are_counted(relu_store):
    path, x = relu_store
    found = run(path, memory_nbytes=2**30)
    assert found["bytes_read"] == x.nbytes
    assert 0 < found["n_rescored"] < N_TARGETS * N_IMAGES / 4


# ---------------------------------------------------------------- lazy, resumable, small


def test_building_computes_nothing(relu_store):
    path, _ = relu_store
    Store(path).distances.remove()
    with no_compute():
        tasks = nearest_distances(path, layer="fc2")
    assert [str(task.key).split("-")[0] for task in tasks] == ["distances:fc2", "distances"]


def test_what_is_stored_is_not_done_again(relu_store):
    path, _ = relu_store
    run(path)
    assert nearest_distances(path, layer="fc2") == []
    with pytest.raises(StoreMismatchError, match='protocol was "paper", now "distinct"'):
        nearest_distances(path, layer="fc2", protocol="distinct")


def test_layers_are_added_one_by_one(tmp_path):
    path = tmp_path / "s.zarr"
    made = make_store(path, n_targets=10, n_fillers=10, layers={"fc1": 300, "fc2": 200})
    for layer, x in made.items():
        dask.compute(*nearest_distances(path, layer=layer), scheduler="synchronous")
        assert stored(path, layer)["neighbour_index"].tolist() == brute_force(x, 10)[1].tolist()
    assert stored(path, "fc1")["neighbour_index"].tolist() == brute_force(made["fc1"], 10)[1].tolist()
    assert nearest_distances(path, layer="fc1") == nearest_distances(path, layer="fc2") == []


def test_an_interrupted_layer_is_done_again(relu_store):
    path, x = relu_store
    Store(path).distances.remove()
    *tiles, finish = nearest_distances(path, layer="fc2", n_workers=3)
    dask.compute(*tiles, scheduler="synchronous")
    assert not Store(path).distances.done("distance").any()
    dask.compute(finish, scheduler="synchronous")
    assert stored(path)["neighbour_index"].tolist() == brute_force(x, N_TARGETS)[1].tolist()


# ---------------------------------------------------------------- bad input


@CUTS
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("image", "name"), [(3, "targets/4"), (35, "fillers/16")])
def test_activations_that_are_not_finite(tmp_path, limits, value, image, name):
    x = relu_activations(50, 1100)
    x[image, 700] = value
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 1100}, activations={"fc2": x}, chunks=CHUNKS)
    with pytest.raises(InputError, match=f"fc2: NaN or infinite activations of image {name}; extract"):
        run(path, limits=limits)


@CUTS
@pytest.mark.parametrize(
    ("metric", "value", "lacking"), [("cosine", 0, "are all 0"), ("correlation", 4, "do not vary")]
)
def test_rows_that_the_metric_cannot_scale(tmp_path, limits, metric, value, lacking):
    x = relu_activations(50, 1100)
    x[[3, 44]] = value
    path = tmp_path / "s.zarr"
    make_store(path, n_targets=20, n_fillers=30, layers={"fc2": 1100}, activations={"fc2": x}, chunks=CHUNKS)
    with pytest.raises(InputError, match=f"fc2: the activations of image targets/4 {lacking}[ ,]"):
        run(path, limits=limits, metric=metric)


def test_layer_without_variance(tmp_path):
    x = np.full((12, 600), 3, dtype=np.float32)
    make_store(tmp_path / "s", n_targets=5, n_fillers=7, layers={"fc2": 600}, activations={"fc2": x})
    with pytest.raises(InputError, match="fc2: the activations do not vary, all 12 images have the same"):
        run(tmp_path / "s")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"protocol": "papre"}, "protocol is 'papre'; it must be one of paper, spc-public, distinct"),
        ({"metric": "l1"}, "metric is 'l1'; it must be one of euclidean, cosine, correlation"),
        ({"n_neighbours": 0}, "n_neighbours is 0; it must be a whole number from 1"),
        ({"n_workers": 0}, "n_workers is 0; it must be a whole number from 1"),
        ({"n_threads": -1}, "n_threads is -1; it must be a whole number from 1"),
        ({"n_neighbours": True}, "n_neighbours is True; it must be a whole number from 1"),
        ({"n_neighbours": 90}, "fc2: 90 neighbours asked for, 89 images in the pool; ask for fewer"),
        ({"n_neighbours": 61, "protocol": "spc-public"}, "fc2: 61 neighbours asked for, 60 images in the pool"),
        ({"category": "category", "n_neighbours": 45}, "within the same category asked for, but indoor has 44"),
        ({"category": "kind"}, "holds no variable 'kind' in 'images'"),
        ({"memory_nbytes": 1000}, "fc2: the smallest distance task needs .* and may use 1000 B"),
    ],
)
def test_settings_that_cannot_be_used(relu_store, options, message):
    path, _ = relu_store
    with pytest.raises(InputError, match=message):
        nearest_distances(path, layer="fc2", **options)


def test_no_fillers(tmp_path):
    make_store(tmp_path / "s", n_targets=5, n_fillers=0, layers={"fc2": 50})
    with pytest.raises(InputError, match="fc2: protocol spc-public looks for neighbours among the fillers"):
        nearest_distances(tmp_path / "s", layer="fc2", protocol="spc-public")
    assert (run(tmp_path / "s")["distance"] > 0).all()


def test_no_targets(tmp_path):
    make_store(tmp_path / "s", n_targets=0, n_fillers=5, layers={"fc2": 50})
    with pytest.raises(InputError, match="fc2: no targets in the image table"):
        nearest_distances(tmp_path / "s", layer="fc2")


def test_a_target_without_category(tmp_path):
    make_store(tmp_path / "s", n_targets=3, n_fillers=5, layers={"fc2": 50})
    Store(tmp_path / "s").images.write("category", ["a", "", "a", "a", "a", "a", "a", "a"])
    with pytest.raises(InputError, match=r"fc2: no category is given for 1 targets \(targets/2\)"):
        nearest_distances(tmp_path / "s", layer="fc2", category="category")


def test_missing_activations(tmp_path):
    path = tmp_path / "s"
    make_store(path, n_targets=3, n_fillers=5, layers={"fc2": 50}, chunks={"image": 4})
    with pytest.raises(InputError, match="holds no 'activations/fc1'"):
        nearest_distances(path, layer="fc1")
    (path / "activations/fc2/activation/c/1/0").unlink()
    with pytest.raises(InputError, match="fc2: 1 chunks of activations are missing; run the stage extract"):
        nearest_distances(path, layer="fc2")


def test_estimates_are_sharp_enough_to_stand(relu_store):
    # Feature tiles: float64 products decide all but the duplicates, so that hardly a row is read again.
    path, x = relu_store
    found = run(path, limits=FEATURE_TILES)
    assert found["n_rescored"] <= 12
    assert finish.TOLERANCE <= 1e-9
    assert found["bytes_read"] < 1.3 * x.nbytes
