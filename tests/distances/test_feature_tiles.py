"""Tests of `distspc.distances.feature_tiles`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from distspc.distances.options import PROTOCOLS, TileLimits
from distspc.distances.plan import LayerSize, smallest_task_nbytes
from distspc.kernels.distance.products import METRICS
from distspc.store.store import Store
from distspc.testing.stores import make_store
from tests.distances.shared import brute_force, run


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
