"""The authors' files in, the authors' files out: n = 500, against the literal method and float64 brute force."""

import numpy as np
import pytest

from distspc.pipeline.run import Study
from distspc.results.authors_layout import export_results
from distspc.testing.stores import relu_activations

N_TARGETS, N_FILLERS, N_FEATURES = 120, 380, 4096
SETTINGS = {"units": 200, "codewords": 60, "batches": 8, "batch-size": 40, "seeds": [4]}
DUPLICATES = ((3, 50), (7, 200), (300, 400))  # target-target, target-filler, filler-filler


@pytest.fixture(scope="module")
def activations(tmp_path_factory):
    root = tmp_path_factory.mktemp("authors")
    values = relu_activations(N_TARGETS + N_FILLERS, N_FEATURES, seed=1)
    for a, b in DUPLICATES:
        values[b] = values[a]
    for name, rows in (("Targets", values[:N_TARGETS]), ("Fillers", values[N_TARGETS:])):
        folder = root / "Activations" / "fc2" / name
        folder.mkdir(parents=True)
        for number, row in enumerate(rows, start=1):
            np.save(folder / f"{number}.npy", row[None])
    return root, values


def study(root, store, **changes):
    content = {"store": str(store), "activations": "Activations", "layers": ["fc2"], **changes}
    return Study.from_dict(content, base=root)


def test_reconstruction_error_is_that_of_the_literal_method(activations, tmp_path, literal):
    root, values = activations
    study(root, tmp_path / "s.zarr", reconstruction=SETTINGS).run(stages=["extract", "reconstruct"])
    export_results(tmp_path / "s.zarr", tmp_path)
    exported = np.load(tmp_path / "Results/RE/fc2/spc_rec_quality.npy")
    wanted = literal.fit(4, values, 200, 60, 8, 40)[:N_TARGETS]
    assert exported.shape == (N_TARGETS, 1)
    np.testing.assert_allclose(exported[:, 0], wanted, rtol=1e-6)


@pytest.mark.parametrize("protocol", ["paper", "spc-public", "distinct"])
def test_distances_are_float64_brute_force(activations, tmp_path, protocol):
    root, values = activations
    chosen = study(root, tmp_path / "s.zarr", distinctiveness={"protocol": protocol})
    chosen.run(stages=["extract", "distances"])
    export_results(tmp_path / "s.zarr", tmp_path)
    x = values.astype(np.float64)
    lines = (tmp_path / "Results/Dist/fc2_NN.csv").read_text().splitlines()
    assert len(lines) == N_TARGETS
    for t, line in enumerate(lines):
        distance = np.sqrt(((x[t] - x) ** 2).sum(axis=1))
        distance[t] = np.inf
        if protocol == "spc-public":
            distance[:N_TARGETS] = np.inf
        if protocol != "paper":
            distance[distance == 0] = np.inf
        n = int(distance.argmin())
        target, neighbour, value = line.split(", ")
        name = f"{n - N_TARGETS + 1}_filler" if n >= N_TARGETS else str(n + 1)
        assert (target, neighbour) == (str(t + 1), name)
        assert float(value) == pytest.approx(distance[n], rel=1e-9, abs=0)
    if protocol == "paper":
        assert [line.split(", ")[2] for line in (lines[3], lines[7], lines[50])] == ["0.0"] * 3
