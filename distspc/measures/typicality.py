"""Typicality: how similar an image is to all others, to those of its own category, and to the centroid."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from distspc.measures.base import LIMITS, Column, Columns, Measure, Place, Size, Work, pass_nbytes
from distspc.measures.options import Options, word
from distspc.store.format.chunks import activation_chunks
from distspc.tasks import free_spare_memory, ranges, task

if TYPE_CHECKING:
    from dask.delayed import Delayed


Range = tuple[int, int]


@dataclass(frozen=True)
class TypicalityOptions(Options):
    """Settings of the typicality.

    Attributes
    ----------
    similarity
        ``cosine`` of the angle between activations, or ``correlation``: the same after each image's own mean over the
        features is taken off (Pearson r over features).
    """

    similarity: str = word("cosine", "correlation")


class Typicality(Measure):
    """Mean similarity to all other images, to those of the image's category, and similarity to the centroid.

    With unit vectors u_i = x_i / |x_i| (of `correlation`, x_i minus its mean over features):

    - ``typicality``: mean of u_i . u_j over all other images j, targets and fillers;
    - ``typicality_category``: the same over the others of its category (column ``category`` of the image table), NaN
      where it has none, or is alone in it;
    - ``centroid_similarity``: similarity to the mean of all x, its own among them.

    Means of similarities are products with sums of unit vectors: the cost is linear in the images, three passes over
    the activations. An image whose vector is 0 has none, and counts for no other (in the centroid it does).
    """

    word = "typicality"
    columns = (
        Column("typicality", "typicality", "are more like all others", undefined="where all activations are the same"),
        Column("typicality_category", "typicality in the category", "are more like others of their category",
               undefined="without a category, alone in one, or where all activations are the same"),
        Column("centroid_similarity", "similarity to the centroid", "are nearer the centroid",
               undefined="where all activations are the same"),
    )  # fmt: skip
    source = "Kramer, Hebart, Baker & Bainbridge 2023"
    options = TypicalityOptions
    scales = True

    def tasks(self, place: Place) -> list[Delayed]:
        """Lengths of all vectors; sums of unit vectors by chunk of features; products with these."""
        norms = [
            task(_lengths)(place, start, stop, dask_key_name=place.key("lengths", i))
            for i, (start, stop) in enumerate(place.blocks())
        ]
        lengths = task(_joined)(norms, dask_key_name=place.key("joined"))
        size = place.store.layer(place.layer).chunks("activation")["feature"]
        parts = [
            part
            for f, features in enumerate(ranges(place.n_features, size))
            for part in _chunk_tasks(place, lengths, features, f)
        ]
        return [*norms, *parts, task(_write)(place, lengths, parts, dask_key_name=place.key("write"))]

    def work(self, size: Size, options: Any) -> list[Work]:
        """One pass for the lengths, two for sums and products."""
        n, features = size
        chunk = activation_chunks(n, features)
        rows = LIMITS.whole_images(features, chunk["image"])
        n_parts = -(-n // LIMITS.images) * -(-features // chunk["feature"])
        read, held = 4.0 * n * features, 12 * chunk["image"] * chunk["feature"] + 8 * 34 * chunk["feature"]
        return [
            Work(-(-n // rows), pass_nbytes(size), read, 4.0 * n * features),
            Work(2 * n_parts, held, 2 * read, 12.0 * n * features),
        ]

    def reference(self, place: Place) -> Mapping[str, Mapping[str, int]]:
        """Sum of the unit vectors, and mean of the vectors, of the study."""
        return {name: {"feature": place.n_features} for name in ("unit_sum", "centroid")}

    def score(self, place: Place, values: Iterable[np.ndarray]) -> Columns:
        """Compare new images with those of the study, which are all others to them; they have no category."""
        unit_sum, centroid = (place.reference.read(name) for name in ("unit_sum", "centroid"))
        n_known = int(place.reference.attributes["n_known"])
        x = [_centred(np.asarray(one, np.float64), place.options.similarity) for one in values]
        length = np.array([_length(one) for one in x])
        with np.errstate(invalid="ignore", divide="ignore"):
            to_all = np.array([one @ unit_sum for one in x]) / length / n_known
            to_centre = np.array([one @ centroid for one in x]) / length / np.linalg.norm(centroid)
        return {"typicality": to_all, "typicality_category": np.full(len(x), np.nan), "centroid_similarity": to_centre}


class _Lengths(NamedTuple):
    """Mean over features, and length, of every image's vector; a length of 0 where it has no direction."""

    mean: np.ndarray
    length: np.ndarray


class _Sums(NamedTuple):
    """Sums over images of some features: of the vectors, of the unit vectors, and of these by category."""

    vectors: np.ndarray
    units: np.ndarray
    by_category: np.ndarray


class _Products(NamedTuple):
    """Products of each image's unit vector with the sums, over some features, and the square of the sum of vectors."""

    units: np.ndarray
    category: np.ndarray
    vectors: np.ndarray
    square: float


def _centred(x: np.ndarray, similarity: str) -> np.ndarray:
    return x - x.mean() if similarity == "correlation" else x


def _length(x: np.ndarray) -> float:
    """Length of a vector; 0 where all of it is the same number but 0 or its mean is taken off."""
    return 0.0 if not x.any() else float(np.sqrt(x @ x))


def _chunk_tasks(place: Place, lengths: Delayed, features: Range, f: int) -> list[Delayed]:
    """Tasks of one chunk of features: sums of blocks of images, their total, products of blocks with it."""
    blocks = list(enumerate(ranges(place.n_images, place.limits.images)))
    sums = [task(_sum)(place, lengths, images, features, dask_key_name=place.key("sums", f, i)) for i, images in blocks]
    total = task(_total)(place, lengths, sums, features, dask_key_name=place.key("total", f))
    return [
        task(_multiply)(place, lengths, total, images, features, dask_key_name=place.key("products", f, i))
        for i, images in blocks
    ]


def _codes(place: Place) -> tuple[np.ndarray, int]:
    """Category of every image as a number, -1 where it has none; and how many there are."""
    names = place.store.images.read("category")
    known, codes = np.unique(names, return_inverse=True)
    shift = int(len(known) > 0 and known[0] == "")
    return codes - shift, len(known) - shift


# ---------------------------------------------------------------- tasks


def _lengths(place: Place, start: int, stop: int) -> _Lengths:
    """Task: mean and length of the vectors of some images."""
    free_spare_memory()  # of distances: its tasks plan with as much
    means, lengths = [], []
    for row in place.values(start, stop):
        x = row.astype(np.float64)
        # Sums of up to 2**29 equal float32 numbers have no rounding: a constant row less its mean is exactly 0.
        means.append(x.mean() if place.options.similarity == "correlation" else 0.0)
        lengths.append(_length(x - means[-1]))
    return _Lengths(np.array(means), np.array(lengths))


def _joined(parts: Sequence[_Lengths]) -> _Lengths:
    """Task: those of all images."""
    return _Lengths(*(np.concatenate(some) for some in zip(*parts, strict=True)))


def _vectors(place: Place, lengths: _Lengths, images: Range, features: Range) -> Iterator[tuple[slice, np.ndarray]]:
    """Some features of the vectors of a block, float64, and their positions, a chunk of images at a time."""
    start = images[0]
    for rows in place.parts(*images, slice(*features)):
        where = slice(start, start + len(rows))
        yield where, rows - lengths.mean[where, None]
        start += len(rows)


def _units(x: np.ndarray, length: np.ndarray) -> np.ndarray:
    return np.asarray(np.divide(x, length[:, None], out=np.zeros_like(x), where=length[:, None] > 0))


def _sum(place: Place, lengths: _Lengths, images: Range, features: Range) -> _Sums:
    """Task: sums of some features over a block of images."""
    codes, n_categories = _codes(place)
    width = features[1] - features[0]
    sums = _Sums(np.zeros(width), np.zeros(width), np.zeros((n_categories, width)))
    for where, x in _vectors(place, lengths, images, features):
        units = _units(x, lengths.length[where])
        np.add(sums.vectors, x.sum(axis=0), out=sums.vectors)
        np.add(sums.units, units.sum(axis=0), out=sums.units)
        for code in np.unique(codes[where]):
            if code >= 0:
                sums.by_category[code] += units[codes[where] == code].sum(axis=0)
    return sums


def _total(place: Place, lengths: _Lengths, parts: Sequence[_Sums], features: Range) -> _Sums:
    """Task: sums over all images, blocks in order; what new images are compared with is kept."""
    total = _Sums(*(np.sum(some, axis=0) for some in zip(*parts, strict=True)))
    kept = {"unit_sum": total.units, "centroid": total.vectors / len(lengths.length)}
    for name, values in kept.items():
        place.reference.write(name, values, feature=slice(*features))
    return total


def _multiply(place: Place, lengths: _Lengths, total: _Sums, images: Range, features: Range) -> _Products:
    """Task: products of a block of unit vectors with the sums, over some features."""
    codes, _ = _codes(place)
    found: list[tuple[np.ndarray, ...]] = []
    for where, x in _vectors(place, lengths, images, features):
        units = _units(x, lengths.length[where])
        own = np.zeros(len(x))
        for code in np.unique(codes[where]):
            if code >= 0:
                mine = codes[where] == code
                own[mine] = units[mine] @ total.by_category[code]
        found.append((units @ total.units, own, units @ total.vectors))
    to_units, to_category, to_vectors = (np.concatenate(some) for some in zip(*found, strict=True))
    return _Products(to_units, to_category, to_vectors, float(total.vectors @ total.vectors))


def _write(place: Place, lengths: _Lengths, parts: Sequence[_Products]) -> None:
    """Task: add up over the features, and write."""
    n_blocks = len(ranges(place.n_images, place.limits.images))
    chunks = [parts[i : i + n_blocks] for i in range(0, len(parts), n_blocks)]
    joined = [[np.concatenate([one[k] for one in chunk]) for k in range(3)] for chunk in chunks]
    to_units, to_category, to_vectors = (np.sum([chunk[k] for chunk in joined], axis=0) for k in range(3))
    length_of_sum = np.sqrt(sum(chunk[0].square for chunk in chunks))
    known = lengths.length > 0
    codes, n_categories = _codes(place)
    members = np.bincount(codes[known & (codes >= 0)], minlength=max(n_categories, 1))
    others = np.where(codes >= 0, members[np.maximum(codes, 0)] - 1, 0)
    place.reference.set_attributes(n_known=int(known.sum()))
    with np.errstate(invalid="ignore", divide="ignore"):
        columns = {
            "typicality": np.where(known.sum() > 1, (to_units - 1) / (known.sum() - 1), np.nan),
            "typicality_category": np.where(others > 0, (to_category - 1) / others, np.nan),
            "centroid_similarity": to_vectors / length_of_sum,
        }
    place.write({name: np.where(known, values, np.nan) for name, values in columns.items()})


MEASURE = Typicality()
