"""What a measure is: its columns, what it needs, its tasks, and how a new image is scored against the study.

A measure of single images gives one function, `ByImage.of_image`; tasks, memory and scores follow. One that compares
images gives its own tasks. What is written is whole rows of a layer: the file is the proof that the measure is done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np

from distspc.errors import InputError
from distspc.images.decoding import checked_image
from distspc.measures.options import Options
from distspc.store.format.chunks import activation_chunks
from distspc.store.format.schema import Variable
from distspc.store.group import CHUNKS_AT_ONCE, Group
from distspc.store.scaling import Scaling, stored_moments
from distspc.store.store import Store
from distspc.tasks import free_spare_memory, ranges, task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


Needs = Literal["activations", "images"]
Columns = Mapping[str, np.ndarray]
"""Values of each column, in the order of the images."""


@dataclass(frozen=True)
class Limits:
    """How much a task takes on.

    Attributes
    ----------
    read_nbytes
        Bytes of activations that a task of whole images reads: seconds of work.
    images
        Images that a task sums up over, or compares with all others.
    files
        Image files that a task reads.
    """

    read_nbytes: int = 2**30
    images: int = 4096
    files: int = 64

    def whole_images(self, n_features: int, chunk: int) -> int:
        """Images that a task reads whole: whole chunks of them."""
        return chunk * max(1, self.read_nbytes // (4 * chunk * n_features))


LIMITS = Limits()


@dataclass(frozen=True)
class Column:
    """One column of the tables: a number for each image, at each layer unless it is of the image itself.

    Attributes
    ----------
    name
        As in `results.csv`.
    words
        Its name in words.
    larger
        What images with a larger value are, for a sentence: "are more typical".
    unit
        Its unit; ``1`` where it has none.
    undefined
        Why an image may have no value (NaN); empty where all have one.
    by_seed
        Whether there is a value for each seed, of which tables have the mean.
    """

    name: str
    words: str
    larger: str
    unit: str = "1"
    undefined: str = ""
    by_seed: bool = False


class Size(NamedTuple):
    """What the cost of a measure depends on: images, and the features of a layer (0 for a measure of the image)."""

    n_images: int
    n_features: int


class Work(NamedTuple):
    """Tasks that are alike: how many, bytes of one, bytes moved and operations of all; each waits for those before."""

    n_tasks: int
    task_nbytes: int
    moved_nbytes: float
    flop: float


@dataclass(frozen=True)
class Place:
    """What a measure's tasks are told: its settings, and where its input is and its results go.

    Attributes
    ----------
    store, layer
        The store; the layer, empty for a measure of the image itself.
    measure, options
        The measure and its settings.
    scaling
        How features are scaled first.
    limits
        How much a task takes on; beyond the last bit, the results do not depend on it.
    """

    store: Store
    layer: str
    measure: Measure
    options: Any
    scaling: Scaling = "none"
    limits: Limits = LIMITS

    @property
    def group(self) -> Group:
        """Where the results are."""
        return self.store.measure(self.measure.word)

    @property
    def reference(self) -> Group:
        """What new images are compared with at the layer, kept beside the results."""
        return self.store.reference(self.measure.word, self.layer)

    @property
    def n_images(self) -> int:
        """Images of both roles."""
        return self.store.images.sizes["image"]

    @property
    def n_features(self) -> int:
        """Features of the layer."""
        return self.store.layer(self.layer).sizes["feature"]

    def key(self, step: str, *index: int) -> str:
        """Name of a task."""
        made = self.store.layer(self.layer).attributes.get("recipe") if self.layer else ""
        token = tokenize(str(self.store), self.layer, self.options, self.scaling, made)[:8]
        return task_key(f"{self.measure.word}:{step}".replace("-", "_"), self.layer, token, *index)

    def blocks(self) -> tuple[tuple[int, int], ...]:
        """Ranges of images that a task takes: whole chunks of activations, or some files."""
        if not self.layer:
            return ranges(self.n_images, self.limits.files)
        chunk = self.store.layer(self.layer).chunks("activation")["image"]
        return ranges(self.n_images, self.limits.whole_images(self.n_features, chunk))

    def parts(self, start: int, stop: int, features: Any = slice(None)) -> Iterator[np.ndarray]:
        """Activations of some images, float32 (images, features), a chunk of images at a time, scaled.

        Raises
        ------
        InputError
            If one is not finite; names layer and image.
        """
        group = self.store.layer(self.layer)
        moments = stored_moments(self.store, self.layer, self.scaling, features)
        for first, last in ranges(stop - start, group.chunks("activation")["image"]):
            rows = group.read("activation", image=slice(start + first, start + last), feature=features)
            rows = np.ascontiguousarray(rows, np.float32)
            self._check(rows, start + first)
            if moments is not None:
                moments.standardise(rows)
            yield rows

    def _check(self, rows: np.ndarray, first: int) -> None:
        if not np.isfinite(rows).all():
            image = self.store.images.labels("image")[first + int(np.argmin(np.isfinite(rows).all(axis=1)))]
            raise InputError(
                f"{self.layer}: activations of {image} are not finite; extract them again or leave the layer out"
            )

    def values(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """What the measure needs of some images, one after the other: activations (features,), or RGB pixels."""
        if self.measure.needs == "activations":
            for rows in self.parts(start, stop):
                yield from rows
            return
        images = self.store.images
        files, digests = (images.read(name, image=slice(start, stop)).tolist() for name in ("file", "digest"))
        for file, digest in zip(files, digests, strict=True):
            yield checked_image(file, digest or None)  # imported tables know no digests

    def read(self, name: str) -> np.ndarray:
        """A column of all images at the layer; the mean over seeds where it has them."""
        at = {"layer": self.group.position("layer", self.layer)} if self.layer else {}
        values = self.group.read(name, out=None, **at)
        return values.mean(axis=0) if values.ndim > 1 else values

    def write(self, columns: Columns) -> None:
        """Write the columns of all images at the layer."""
        at = {"layer": self.group.position("layer", self.layer)} if self.layer else {}
        for name, values in columns.items():
            self.group.write(name, values, **at)


class Measure(ABC):
    """A measure of images, one or several columns.

    Attributes
    ----------
    word
        Its name in the study file.
    columns
        Its columns.
    needs
        What it is computed from: the activations of each layer, or the image files.
    source
        Where it is described.
    options
        Its settings.
    scales
        Whether it is of scaled features, where the study scales them.
    """

    word: ClassVar[str]
    columns: ClassVar[tuple[Column, ...]]
    needs: ClassVar[Needs] = "activations"
    source: ClassVar[str]
    options: ClassVar[type[Options]] = Options
    scales: ClassVar[bool] = False

    @abstractmethod
    def tasks(self, place: Place) -> list[Delayed]:
        """Build the tasks for a layer, or for the images; the last writes the results."""

    @abstractmethod
    def work(self, size: Size, options: Any) -> list[Work]:
        """Say what the tasks take."""

    @abstractmethod
    def score(self, place: Place, values: Iterable[np.ndarray]) -> Columns:
        """Measure new images against the study, which stays as it is.

        Parameters
        ----------
        place
            The layer of the study, whose results are there.
        values
            What the measure needs of each new image: activations (features,), scaled as the study's, or RGB pixels,
            uint8 (height, width, 3).
        """

    def reference(self, place: Place) -> Mapping[str, Mapping[str, int]]:
        """Name the arrays of the study that new images are compared with, with the lengths of their dimensions."""
        return {}

    def problem(self, n_images: int, options: Any) -> str:
        """Say why so many images cannot be measured with these settings, and what to do; empty where they can."""
        return ""

    def remarks(self, places: Sequence[Place]) -> list[str]:
        """Sentences about how the layers, or the images, were measured, for readers of the results."""
        return []

    def variables(self) -> dict[str, Variable]:
        """What the store keeps for every column."""
        by_layer = ("layer",) if self.needs == "activations" else ()
        return {
            one.name: Variable(
                (*by_layer, *(("seed",) if one.by_seed else ()), "image"), "float64", one.words, one.unit
            )
            for one in self.columns
        }


class ByImage(Measure):
    """A measure of single images: what one is does not depend on the others."""

    flop_per_value: ClassVar[float] = 60.0
    """Operations for every feature, or for every pixel."""

    @abstractmethod
    def of_image(self, values: np.ndarray, options: Any) -> Sequence[float]:
        """Measure one image: a number for every column; NaN where it has none.

        Parameters
        ----------
        values
            Activations, float32 (features,), or pixels, uint8 (height, width, 3), as the measure `needs`.
        options
            Settings of the measure.
        """

    def tasks(self, place: Place) -> list[Delayed]:
        """Build a task for every block of images, and one that writes."""
        blocks = [
            task(_measure_block)(place, start, stop, dask_key_name=place.key("block", i))
            for i, (start, stop) in enumerate(place.blocks())
        ]
        return [*blocks, task(_write_blocks)(place, blocks, dask_key_name=place.key("write"))]

    def work(self, size: Size, options: Any) -> list[Work]:
        """A pass over the activations, or over the image files."""
        n_images, n_features = size
        if self.needs == "images":
            pixels = IMAGE_PIXELS * n_images
            return [Work(-(-n_images // LIMITS.files), 2**28, pixels, self.flop_per_value * pixels)]
        chunk = activation_chunks(n_images, n_features)["image"]
        rows = LIMITS.whole_images(n_features, chunk)
        read = 4.0 * n_images * n_features
        return [Work(-(-n_images // rows), pass_nbytes(size), read, self.flop_per_value * read / 4)]

    def score(self, place: Place, values: Iterable[np.ndarray]) -> Columns:
        """Measure new images as those of the study were."""
        return self._columns([self.of_image(one, place.options) for one in values])

    def _columns(self, rows: Sequence[Sequence[float]]) -> Columns:
        table = np.asarray(rows, np.float64).reshape(-1, len(self.columns))
        return {one.name: table[:, i] for i, one in enumerate(self.columns)}


def reading_nbytes(size: Size) -> int:
    """Memory that the store takes to read a chunk of images, beside what it gives: as stored, and uncompressed."""
    chunk = activation_chunks(*size)
    return 8 * chunk["image"] * min(size.n_features, CHUNKS_AT_ONCE * chunk["feature"])


def pass_nbytes(size: Size) -> int:
    """Memory of a pass over all features: a chunk of images that is read, and the one before."""
    return reading_nbytes(size) + 8 * activation_chunks(*size)["image"] * size.n_features


IMAGE_PIXELS = 256 * 256
"""Of an image whose size is not known yet, for the plan."""


def _measure_block(place: Place, start: int, stop: int) -> list[Sequence[float]]:
    """Task: the columns of some images."""
    free_spare_memory()  # of distances: its tasks plan with as much
    return [place.measure.of_image(one, place.options) for one in place.values(start, stop)]  # type: ignore[attr-defined]


def _write_blocks(place: Place, blocks: Sequence[Sequence[Sequence[float]]]) -> None:
    """Task: write the columns of all images."""
    place.write(place.measure._columns([row for rows in blocks for row in rows]))  # type: ignore[attr-defined]
