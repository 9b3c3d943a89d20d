"""Density: how crowded the space is around an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy  # its parts are imported at first use: scipy.optimize takes long

from distspc.errors import InputError
from distspc.measures.base import LIMITS, Column, Columns, Measure, Place, Size, Work
from distspc.measures.options import Options, whole
from distspc.measures.sampling import MOST_UNITS, gather, gathering, joined, sampled_units, sampling_remarks
from distspc.messages import counted
from distspc.tasks import ranges, task

if TYPE_CHECKING:
    from dask.delayed import Delayed


TILE_ROWS = 512
"""Images whose distances to all others are in memory at once."""
FITTED_ROWS = 4096
"""Images by whose likelihood the bandwidth is chosen, at most; they are drawn with the seed."""
SKLEARN_NBYTES = 185 * 2**20
"""Memory that scikit-learn takes once it is imported."""
_STEPS = 16  # of the coarse search for a bandwidth


@dataclass(frozen=True)
class DensityOptions(Options):
    """Settings of the density.

    Attributes
    ----------
    dimensions
        Principal components that are kept.
    neighbours
        k of the local density.
    units
        Features of a layer that are all taken; of a wider one as many are drawn.
    seed
        Of that draw.
    """

    dimensions: int = whole(10, most=100)
    neighbours: int = whole(10, most=1000)
    units: int = whole(MOST_UNITS, most=100_000)
    seed: int = whole(0, least=0, most=2**32 - 1)


class Density(Measure):
    """Negative log likelihood under a kernel density of the other images, and local density at k neighbours.

    Images are points in the first 10 principal components of their activations (not whitened; of layers with more than
    4,096 features, of 4,096 units drawn at random). With d components, n images and r_k the distance to the k-th
    nearest other image:

    - ``density_nll``: -ln of the mean over all other images of a Gaussian kernel, in nats: larger is farther from
      others. The bandwidth, one for all, is the one with the largest leave-one-out likelihood (of at most 4,096
      images, drawn at random, among all others);
    - ``local_density``: ln(k / ((n - 1) V_d r_k^d)), V_d the volume of the unit ball: the log density by k nearest
      neighbours, NaN where these k are identical to the image.
    """

    word = "density"
    columns = (
        Column("density_nll", "negative log likelihood", "lie where fewer images are", "nat"),
        Column("local_density", "local density", "lie where more images are", "nat",
               undefined="where the nearest neighbours are identical to it"),
    )  # fmt: skip
    source = "Bylinskii, Isola, Bainbridge, Torralba & Oliva 2015; Loftsgaarden & Quesenberry 1965"
    options = DensityOptions
    scales = True

    def tasks(self, place: Place) -> list[Delayed]:
        """Gather features; find components and bandwidth; find the densities of some images each."""
        gathered = gather(place)
        points = task(_find_points)(place, gathered, dask_key_name=place.key("points"))
        blocks = [
            task(_densities)(place, points, start, stop, dask_key_name=place.key("densities", i))
            for i, (start, stop) in enumerate(ranges(place.n_images, place.limits.images))
        ]
        return [*gathered, points, *blocks, task(_write)(place, blocks, dask_key_name=place.key("write"))]

    def problem(self, n_images: int, options: Any) -> str:
        """See that there are more images than neighbours."""
        if n_images > options.neighbours:
            return ""
        k, n = counted(options.neighbours, "neighbour"), counted(n_images, "image")
        return f"{k} of each of {n}; lower `neighbours` of the measure"

    def remarks(self, places: Sequence[Place]) -> list[str]:
        """Say of which wide layers how many features are taken."""
        return sampling_remarks(places)

    def work(self, size: Size, options: Any) -> list[Work]:
        """One pass to gather; components; distances among all points, for some bandwidths and once more."""
        n, u, d = size.n_images, min(options.units, size.n_features), options.dimensions
        rows, pair = min(n, FITTED_ROWS), 2 * d + 60  # an exponential counts for many
        fit = 100.0 * n * u + rows * n * (2 * d + 60.0 * 2 * _STEPS)
        # The gathered units in float32 and float64, centred for the components; then distances.
        held = SKLEARN_NBYTES + max(4 * n * u + 17 * n * u, 12 * n * u + 4 * rows * n + 5 * 8 * TILE_ROWS * n)
        return [
            gathering(size, options.units),
            Work(1, held, 4.0 * n * u, fit),
            Work(-(-n // LIMITS.images), SKLEARN_NBYTES + 8 * 8 * TILE_ROWS * n, 0.0, float(n) * n * pair),
        ]

    def reference(self, place: Place) -> Mapping[str, Mapping[str, int]]:
        """The components, and the points of the study."""
        n_units = min(place.options.units, place.n_features)
        shape = {"component": _dimensions(place.options.dimensions, place.n_images, n_units)}
        return {
            "mean": {"unit": n_units},
            "components": {**shape, "unit": n_units},
            "points": {"image": place.n_images, **shape},
        }

    def score(self, place: Place, values: Iterable[np.ndarray]) -> Columns:
        """Find the density of the study's images at new ones."""
        mean, components, points = (place.reference.read(name) for name in ("mean", "components", "points"))
        units = sampled_units(place.n_features, place.options.units, place.options.seed)
        new = np.array([components @ (np.asarray(one, np.float64)[units] - mean) for one in values])
        bandwidth = float(place.reference.attributes["bandwidth"])
        return _columns(new.reshape(-1, points.shape[1]), points, bandwidth, place.options.neighbours, own=None)


def _dimensions(wanted: int, n_images: int, n_units: int) -> int:
    return min(wanted, n_units, n_images - 1)


class _Points(NamedTuple):
    """Every image as a point, (images, components), and the bandwidth of the kernel."""

    points: np.ndarray
    bandwidth: float


# ---------------------------------------------------------------- distances and densities


def squared_distances(rows: np.ndarray, points: np.ndarray, own: int | None) -> np.ndarray:
    """Squared distances of some rows to all points; infinite to themselves.

    Parameters
    ----------
    rows, points
        (rows, components) and (points, components).
    own
        Position among the points of the first of the rows, which are in a run; None: they are not among them.
    """
    squares = (rows**2).sum(axis=1)[:, None] + (points**2).sum(axis=1) - 2 * rows @ points.T
    np.maximum(squares, 0, out=squares)
    near = squares < 1e-9 * max(float((points**2).sum(axis=1).max(initial=0)), np.finfo(float).tiny)
    for i, j in zip(*np.nonzero(near), strict=True):  # rounding: identical points are at distance 0
        squares[i, j] = ((rows[i] - points[j]) ** 2).sum()
    if own is not None:
        squares[np.arange(len(rows)), own + np.arange(len(rows))] = np.inf
    return np.asarray(squares)


def log_density(squares: np.ndarray, bandwidth: float, n_dimensions: int) -> np.ndarray:
    """Log of the mean Gaussian kernel over the points at finite distance, for each row of squared distances."""
    n_others = np.isfinite(squares).sum(axis=1)
    constant = 0.5 * n_dimensions * math.log(2 * math.pi * bandwidth**2)
    return np.asarray(scipy.special.logsumexp(-squares / (2 * bandwidth**2), axis=1) - np.log(n_others) - constant)


def best_bandwidth(rows: Sequence[np.ndarray], n_dimensions: int) -> float:
    """Bandwidth with the largest leave-one-out likelihood.

    Parameters
    ----------
    rows
        Squared distances of images to all points, infinite to themselves, in blocks.
    n_dimensions
        Components.

    Raises
    ------
    ValueError
        If all distances are 0.
    """
    nearest = np.concatenate([np.where(some > 0, some, np.inf).min(axis=1) for some in rows])
    farthest = max(float(some[np.isfinite(some)].max(initial=0)) for some in rows)
    if farthest == 0 or not np.isfinite(nearest).any():
        raise ValueError("all images have the same activations")
    low, high = 0.5 * math.log(np.median(nearest[np.isfinite(nearest)])) - 3, 0.5 * math.log(farthest) + 1

    def loss(log_bandwidth: float) -> float:
        bandwidth = math.exp(log_bandwidth)
        return -float(sum(log_density(some, bandwidth, n_dimensions).sum() for some in rows))

    steps = np.linspace(low, high, _STEPS)
    best = int(np.argmin([loss(step) for step in steps]))
    around = steps[max(best - 1, 0)], steps[min(best + 1, _STEPS - 1)]
    return math.exp(scipy.optimize.minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 1e-4}).x)


def local_density(squares: np.ndarray, k: int, n_dimensions: int) -> np.ndarray:
    """Log density by k nearest neighbours, for each row of squared distances; NaN where these are at distance 0."""
    n_others = np.isfinite(squares).sum(axis=1)
    kth = np.partition(squares, k - 1, axis=1)[:, k - 1]
    ball = 0.5 * n_dimensions * math.log(math.pi) - scipy.special.gammaln(0.5 * n_dimensions + 1)
    with np.errstate(divide="ignore"):
        density = math.log(k) - np.log(n_others) - ball - 0.5 * n_dimensions * np.log(kth)
    return np.where(np.isfinite(density), density, np.nan)


def _tiles(start: int, stop: int) -> Iterator[tuple[int, int]]:
    for first, last in ranges(stop - start, TILE_ROWS):
        yield start + first, start + last


def _columns(rows: np.ndarray, points: np.ndarray, bandwidth: float, k: int, own: int | None) -> Columns:
    """Both columns of some rows; `own` as in `squared_distances`."""
    n_dimensions, found = points.shape[1], []
    for first, last in _tiles(0, len(rows)):
        squares = squared_distances(rows[first:last], points, None if own is None else own + first)
        found.append((-log_density(squares, bandwidth, n_dimensions), local_density(squares, k, n_dimensions)))
    return dict(zip(("density_nll", "local_density"), np.concatenate([np.zeros((2, 0)), *found], axis=1), strict=True))


# ---------------------------------------------------------------- tasks


def _find_points(place: Place, gathered: Sequence[np.ndarray]) -> _Points:
    """Task: every image in the principal components, and the bandwidth; kept for new images."""
    from sklearn.decomposition import PCA

    x, options = joined(gathered).astype(np.float64), place.options
    n_images, n_dimensions = len(x), _dimensions(options.dimensions, *x.shape)
    if problem := place.measure.problem(n_images, options):
        raise InputError(f"density of layer {place.layer}: {problem}")
    solver = "arpack" if n_dimensions < min(x.shape) - 1 else "full"
    pca = PCA(n_dimensions, svd_solver=solver, random_state=0).fit(x)
    points = pca.transform(x)
    try:
        bandwidth = best_bandwidth(_rows_to_fit(points, options.seed), n_dimensions)
    except ValueError as error:
        raise InputError(f"density of layer {place.layer}: {error}; leave the layer out") from error
    for name, values in (("mean", pca.mean_), ("components", pca.components_), ("points", points)):
        place.reference.write(name, values)
    place.reference.set_attributes(bandwidth=bandwidth)
    return _Points(points, bandwidth)


def _rows_to_fit(points: np.ndarray, seed: int) -> list[np.ndarray]:
    """Squared distances of the images by which the bandwidth is chosen, float32, in blocks."""
    n = len(points)
    rows = np.arange(n) if n <= FITTED_ROWS else np.sort(np.random.RandomState(seed).choice(n, FITTED_ROWS, False))
    found = []
    for first, last in ranges(len(rows), TILE_ROWS):
        some = squared_distances(points[rows[first:last]], points, None)
        some[np.arange(last - first), rows[first:last]] = np.inf
        found.append(some.astype(np.float32))
    return found


def _densities(place: Place, points: _Points, start: int, stop: int) -> Columns:
    """Task: the columns of some images."""
    return _columns(points.points[start:stop], points.points, points.bandwidth, place.options.neighbours, own=start)


def _write(place: Place, blocks: Sequence[Columns]) -> None:
    """Task: write the columns of all images."""
    place.write({name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]})


MEASURE = Density()
