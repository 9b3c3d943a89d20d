"""Autoencoder: what a sparse autoencoder, and as many principal components, leave of an image's activations."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distspc.errors import InputError
from distspc.extraction.backends.keras_runtime import import_keras
from distspc.kernels.threads import allowed_threads
from distspc.measures.base import Column, Columns, Measure, Place, Size, Work
from distspc.measures.options import Options, real, whole, wholes
from distspc.measures.sampling import MOST_UNITS, gather, gathering, joined, sampled_units, sampling_remarks
from distspc.messages import counted
from distspc.tasks import ranges, task

if TYPE_CHECKING:
    from dask.delayed import Delayed


ROWS = 1024
"""Images that are encoded at once."""


@dataclass(frozen=True)
class AutoencoderOptions(Options):
    """Settings of the autoencoder.

    Attributes
    ----------
    hidden
        Hidden units, and components of the PCA beside it.
    sparsity
        Weight of the L1 norm of the code.
    epochs, batch_size, learning_rate, weight_decay
        Training, by AdamW.
    seeds
        Of the first weights and the order of the images; the error is the mean over them.
    units
        Features of a layer that are all taken; of a wider one as many are drawn.
    seed
        Of that draw.
    """

    hidden: int = whole(100, most=10_000)
    sparsity: float = real(1e-5, most=1e6)
    epochs: int = whole(20, most=10_000)
    batch_size: int = whole(32, most=100_000)
    learning_rate: float = real(1e-3, least=1e-9, most=10)
    weight_decay: float = real(0.01, most=10)
    seeds: tuple[int, ...] = wholes((0, 1, 2), most=2**32 - 1)
    units: int = whole(MOST_UNITS, most=100_000)
    seed: int = whole(0, least=0, most=2**32 - 1)


class Autoencoder(Measure):
    """Mean squared residual of a ReLU autoencoder, mean over seeds; and of a PCA with as many components.

    Features (of layers with more than 4,096, that many units drawn at random) are standardised over all images (ddof 0;
    constant ones are 0). An autoencoder with one hidden layer of 100 ReLU units is trained on all images to reduce the
    sum of squared residuals plus `sparsity` times the sum of the code, by AdamW.

    - ``autoencoder_error``: mean over the features of the squared residual of an image;
    - ``pca_error``: the same of the first 100 principal components of the standardised features.

    Takmaz et al. train with batches of one image at a learning rate of 1e-4 for 5 to 20 epochs: ``batch-size: 1``,
    ``learning-rate: 0.0001``; batches of 32 at 1e-3 take a thirtieth of the steps.
    """

    word = "autoencoder"
    columns = (
        Column("autoencoder_error", "autoencoder error", "are harder to reconstruct by an autoencoder", by_seed=True),
        Column("pca_error", "PCA error", "are harder to reconstruct by principal components"),
    )
    source = "Takmaz, Gatt & Dotlacil 2025"
    options = AutoencoderOptions

    def tasks(self, place: Place) -> list[Delayed]:
        """Gather and standardise features; one training for each seed, and the components."""
        gathered = gather(place)
        scaled = task(_standardised)(place, gathered, dask_key_name=place.key("standardised"))
        seeds = [
            task(_train)(place, scaled, i, dask_key_name=place.key("train", i)) for i in range(len(place.options.seeds))
        ]
        pca = task(_components)(place, scaled, dask_key_name=place.key("components"))
        return [*gathered, scaled, *seeds, pca, task(_write)(place, seeds, pca, dask_key_name=place.key("write"))]

    def problem(self, n_images: int, options: Any) -> str:
        """See that there are more images than hidden units: as many components leave nothing of fewer images."""
        if n_images > options.hidden + 1:
            return ""
        return _too_many(options.hidden, counted(n_images, "image"))

    def remarks(self, places: Sequence[Place]) -> list[str]:
        """Say of which wide layers how many features are taken."""
        return sampling_remarks(places)

    def work(self, size: Size, options: Any) -> list[Work]:
        """One pass to gather; a training for each seed and the components."""
        n, u = size.n_images, min(options.units, size.n_features)
        training = 12.0 * n * u * options.hidden * options.epochs  # both ways through two matrices
        return [
            gathering(size, options.units),
            Work(1, 12 * n * u, 4.0 * n * u, 10.0 * n * u),
            Work(len(options.seeds) + 1, 8 * n * u + KERAS_NBYTES, 4.0 * n * u * len(options.seeds),
                 len(options.seeds) * training + 100.0 * n * u * options.hidden),
        ]  # fmt: skip

    def reference(self, place: Place) -> Mapping[str, Mapping[str, int]]:
        """Means and standard deviations of the features, weights, and components."""
        n_units, hidden = min(place.options.units, place.n_features), place.options.hidden
        units, n_seeds = {"unit": n_units}, {"seed": len(place.options.seeds)}
        return {
            "mean": units,
            "sd": units,
            "components": {"component": hidden, **units},
            "pca_mean": units,
            "encoder": {**n_seeds, **units, "hidden": hidden},
            "encoder_bias": {**n_seeds, "hidden": hidden},
            "decoder": {**n_seeds, "hidden": hidden, **units},
            "decoder_bias": {**n_seeds, **units},
        }

    def score(self, place: Place, values: Iterable[np.ndarray]) -> Columns:
        """Pass new images through the trained autoencoders, and the components."""
        group = place.reference
        units = sampled_units(place.n_features, place.options.units, place.options.seed)
        moments = Moments(group.read("mean"), group.read("sd"))
        x = np.array([moments.standardise(np.asarray(one)[units]) for one in values]).reshape(-1, len(units))
        errors = [residuals(x, Weights(*(group.read(name, seed=i) for name in Weights._fields)))
                  for i in range(len(place.options.seeds))]  # fmt: skip
        pca = pca_residuals(x, group.read("components"), group.read("pca_mean"))
        return {"autoencoder_error": np.mean(errors, axis=0), "pca_error": pca}


KERAS_NBYTES = 750 * 2**20
"""Memory of a process with Keras and TensorFlow."""


class Moments(NamedTuple):
    """Mean and standard deviation of features, 0 where one is constant."""

    mean: np.ndarray
    sd: np.ndarray

    def standardise(self, x: np.ndarray) -> np.ndarray:
        """(x - mean) / sd, float32; 0 where a feature is constant."""
        divisor = np.where(self.sd == 0, np.inf, self.sd)
        return np.asarray((x - self.mean) / divisor, np.float32)


class Weights(NamedTuple):
    """Weights of an autoencoder: (units, hidden), (hidden,), (hidden, units), (units,)."""

    encoder: np.ndarray
    encoder_bias: np.ndarray
    decoder: np.ndarray
    decoder_bias: np.ndarray


class _Scaled(NamedTuple):
    """Standardised features of all images, float32."""

    x: np.ndarray


def residuals(x: np.ndarray, weights: Weights) -> np.ndarray:
    """Mean squared residual of every row, in float64."""
    found = []
    for first, last in ranges(len(x), ROWS):
        code = np.maximum(x[first:last] @ weights.encoder + weights.encoder_bias, 0)
        found.append(((x[first:last] - (code @ weights.decoder + weights.decoder_bias)) ** 2).mean(axis=1))
    return np.concatenate(found) if found else np.zeros(0)


def pca_residuals(x: np.ndarray, components: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Mean squared residual of every row from its projection on components, (components, units)."""
    found = []
    for first, last in ranges(len(x), ROWS):
        rows = x[first:last] - mean
        found.append(((rows - rows @ components.T @ components) ** 2).mean(axis=1))
    return np.concatenate(found) if found else np.zeros(0)


def train(x: np.ndarray, options: AutoencoderOptions, seed: int) -> Weights:
    """Train an autoencoder.

    Parameters
    ----------
    x
        Standardised features, float32 (images, units).
    options
        Settings.
    seed
        Of the first weights and the order of the images.
    """
    keras = import_keras(allowed_threads())
    first = keras.initializers.GlorotUniform
    layers = [
        keras.layers.Dense(options.hidden, activation="relu", kernel_initializer=first(seed=seed),
                           activity_regularizer=_CodeNorm(options.sparsity)),
        keras.layers.Dense(x.shape[1], kernel_initializer=first(seed=seed + 2**31)),
    ]  # fmt: skip
    model = keras.Sequential([keras.Input((x.shape[1],)), *layers])
    optimizer = keras.optimizers.AdamW(options.learning_rate, weight_decay=options.weight_decay)
    model.compile(optimizer=optimizer, loss=_sum_of_squares, jit_compile=False)
    for batch in _batches(x, options, seed):
        model.train_on_batch(batch, batch)
    return Weights(*(np.asarray(values, np.float64) for layer in layers for values in layer.get_weights()))


def _batches(x: np.ndarray, options: AutoencoderOptions, seed: int) -> Iterator[np.ndarray]:
    """Every image once an epoch, in an order of its own."""
    rng = np.random.RandomState(seed)
    for _ in range(options.epochs):
        order = rng.permutation(len(x))
        for start, _ in ranges(len(x), options.batch_size):
            yield x[order[start : start + options.batch_size]]


def _sum_of_squares(wanted: Any, found: Any) -> Any:
    from keras import ops

    return ops.sum(ops.square(wanted - found), axis=-1)


class _CodeNorm:
    """L1 norm of the code, mean over the batch."""

    def __init__(self, weight: float) -> None:
        self.weight = weight

    def __call__(self, code: Any) -> Any:
        from keras import ops

        return self.weight * ops.mean(ops.sum(ops.abs(code), axis=-1))


# ---------------------------------------------------------------- tasks


def _too_many(hidden: int, what: str) -> str:
    return f"{counted(hidden, 'hidden unit', 'leaves')} nothing to reconstruct of {what}; lower `hidden`"


def _standardised(place: Place, gathered: Sequence[np.ndarray]) -> _Scaled:
    """Task: the features of all images, standardised; what they were standardised by is kept."""
    x = joined(gathered)
    problem, hidden = place.measure.problem(len(x), place.options), place.options.hidden
    if not problem and x.shape[1] <= hidden:
        problem = _too_many(hidden, counted(x.shape[1], "feature"))
    if problem:
        raise InputError(f"autoencoder of layer {place.layer}: {problem}")
    # Sums of up to 2**29 equal float32 numbers have no rounding: a constant feature has an sd of exactly 0.
    moments = Moments(x.mean(axis=0, dtype=np.float64), x.std(axis=0, dtype=np.float64))
    for name, values in moments._asdict().items():
        place.reference.write(name, values)
    for first, last in ranges(len(x), ROWS):
        x[first:last] = moments.standardise(x[first:last])
    return _Scaled(x)


def _train(place: Place, scaled: _Scaled, i: int) -> np.ndarray:
    """Task: errors of one seed; its weights are kept."""
    weights = train(scaled.x, place.options, place.options.seeds[i])
    if not all(np.isfinite(values).all() for values in weights):
        raise InputError(
            f"autoencoder of layer {place.layer}, seed {place.options.seeds[i]}: the training diverged; lower "
            "`learning-rate` of the measure"
        )
    for name, values in weights._asdict().items():
        place.reference.write(name, values, seed=i)
    return residuals(scaled.x, weights)


def _components(place: Place, scaled: _Scaled) -> np.ndarray:
    """Task: errors of the principal components, which are kept."""
    from sklearn.decomposition import PCA

    hidden = place.options.hidden
    solver = "arpack" if hidden < min(scaled.x.shape) - 1 else "full"
    pca = PCA(hidden, svd_solver=solver, random_state=0).fit(scaled.x.astype(np.float64))
    place.reference.write("components", pca.components_)
    place.reference.write("pca_mean", pca.mean_)
    return pca_residuals(scaled.x, pca.components_, pca.mean_)


def _write(place: Place, errors: Sequence[np.ndarray], pca: np.ndarray) -> None:
    """Task: write the errors of all images."""
    place.write({"autoencoder_error": np.stack(errors), "pca_error": pca})


MEASURE = Autoencoder()
