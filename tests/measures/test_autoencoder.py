"""The autoencoder and the components beside it: residuals as their weights give them, seeds, new images."""

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from distspc.errors import InputError
from distspc.measures import autoencoder
from distspc.measures.autoencoder import AutoencoderOptions, Moments, Weights, residuals, train
from distspc.measures.build import place_of
from distspc.measures.registry import ChosenMeasure
from distspc.results.tidy import tidy_table
from distspc.store.store import Store
from distspc.testing.stores import relu_activations
from tests.measures.shared import computed

GIVEN = {"name": "autoencoder", "hidden": 8, "epochs": 40, "learning-rate": 0.01, "seeds": [3, 4]}
SIZES = {"n_targets": 30, "n_fillers": 50, "layers": {"fc2": 20}}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("autoencoder") / "s.zarr"
    found, values = computed(path, GIVEN, **SIZES)
    return Store(path), found, values


def test_errors_are_what_the_kept_weights_leave(made):
    store, found, values = made
    kept, z = store.reference("autoencoder", "fc2"), StandardScaler().fit_transform(values)
    assert found["autoencoder_error"].shape == (2, 80)
    for i, errors in enumerate(found["autoencoder_error"]):
        encoder, bias, decoder, last = (kept.read(name, seed=i) for name in Weights._fields)
        left = z - (np.maximum(z @ encoder + bias, 0) @ decoder + last)
        np.testing.assert_allclose(errors, (left**2).mean(axis=1), rtol=1e-4)
    assert found["autoencoder_error"].mean() < 0.9  # of a variance of 1


def test_beside_it_stands_the_residual_of_as_many_components(made):
    _, found, values = made
    z = StandardScaler().fit_transform(values)
    pca = PCA(8, svd_solver="full").fit(z)
    left = z - pca.inverse_transform(pca.transform(z))
    np.testing.assert_allclose(found["pca_error"], (left**2).mean(axis=1), rtol=1e-4)
    assert found["pca_error"].mean() < found["autoencoder_error"].mean()  # no linear code of 8 numbers leaves less


def test_seeds_give_a_mean_and_its_reliability(made):
    store, found, _ = made
    table = tidy_table(store)
    np.testing.assert_allclose(table["autoencoder_error"], found["autoencoder_error"].mean(axis=0)[:30])
    assert table["autoencoder_error_reliability"].between(0, 1).all()
    assert not np.allclose(*found["autoencoder_error"])


def test_a_new_image_goes_through_the_same_weights(made):
    store, found, values = made
    place = place_of(store, "fc2", ChosenMeasure.parse(GIVEN), "none")
    again = place.measure.score(place, iter(values[:5].astype(np.float32)))
    np.testing.assert_allclose(again["autoencoder_error"], found["autoencoder_error"].mean(axis=0)[:5], rtol=1e-6)
    np.testing.assert_allclose(again["pca_error"], found["pca_error"][:5], rtol=1e-6)


def test_a_seed_gives_the_same_weights_and_leaves_numpys_own_generator_alone():
    x = Moments(np.zeros(12), np.ones(12)).standardise(relu_activations(40, 12))
    options = AutoencoderOptions(hidden=4, epochs=2)
    np.random.seed(1)
    first, second = (train(x, options, 7) for _ in range(2))
    assert np.random.rand() == np.random.RandomState(1).rand()
    for a, b in zip(first, second, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    assert not np.allclose(first.encoder, train(x, options, 8).encoder)


def test_the_sum_of_the_code_is_what_the_sparsity_weighs():
    x = Moments(np.zeros(12), np.ones(12)).standardise(relu_activations(60, 12))
    dense, sparse = (
        train(x, AutoencoderOptions(hidden=6, epochs=60, learning_rate=0.02, sparsity=s), 0) for s in (0.0, 20.0)
    )
    code = [np.maximum(x @ w.encoder + w.encoder_bias, 0).sum(axis=1).mean() for w in (dense, sparse)]
    assert code[1] < 0.5 * code[0]
    assert residuals(x, dense).mean() < residuals(x, sparse).mean()


def test_constant_features_are_0():
    x = np.array([[1.0, 5.0], [3.0, 5.0]], np.float32)
    assert Moments(x.mean(axis=0), np.array([1.0, 0.0])).standardise(x).tolist() == [[-1, 0], [1, 0]]


def test_more_hidden_units_than_images_are_refused(tmp_path):
    with pytest.raises(InputError, match="layer fc2: 100 hidden units leave nothing to reconstruct of 5 images"):
        computed(tmp_path / "s.zarr", "autoencoder", n_targets=3, n_fillers=2, layers={"fc2": 8})


def test_components_leave_what_is_off_the_plane_about_their_mean():
    rng = np.random.default_rng(0)
    mean, axes = rng.normal(size=6), np.linalg.qr(rng.normal(size=(6, 3)))[0].T
    x = mean + rng.normal(size=(9, 2)) @ axes[:2] + np.linspace(0, 2, 9)[:, None] * axes[2]
    found = autoencoder.pca_residuals(x, axes[:2], mean)
    np.testing.assert_allclose(found, np.linspace(0, 2, 9) ** 2 / 6, atol=1e-12)


def test_one_more_image_than_hidden_units_leaves_nothing_to_reconstruct():
    options = autoencoder.AutoencoderOptions(hidden=5)
    assert autoencoder.MEASURE.problem(7, options) == ""
    assert autoencoder.MEASURE.problem(6, options).startswith("5 hidden units leave nothing to reconstruct of 6 images")


def test_a_seed_draws_the_order_of_the_images_anew_in_every_epoch():
    x, options = np.arange(20.0)[:, None], AutoencoderOptions(epochs=2, batch_size=8)
    orders = [np.concatenate(list(autoencoder._batches(x, options, seed)))[:, 0].reshape(2, 20) for seed in (0, 1)]
    assert (np.sort(orders, axis=-1) == np.arange(20)).all()
    assert len({tuple(order) for epochs in orders for order in epochs}) == 4


def test_a_seed_draws_the_first_weights_of_both_layers():
    x = np.zeros((4, 6), np.float32)
    one, other = (train(x, AutoencoderOptions(hidden=3, epochs=1, learning_rate=1e-9), seed) for seed in (0, 1))
    for name in ("encoder", "decoder"):
        assert np.abs(getattr(one, name) - getattr(other, name)).max() > 0.1
