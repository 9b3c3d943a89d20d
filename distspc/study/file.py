"""The study file: what to compute, validated into one frozen object."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypedDict, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from distspc.errors import InputError
from distspc.extraction.options import is_weights_path
from distspc.io.yaml_files import Section, explain_errors, read_yaml
from distspc.layers import LAYERS, VGG16_LAYERS
from distspc.store.store import Store

StageName = Literal["extract", "distances", "reconstruct", "relate", "report"]
STAGES: tuple[StageName, ...] = get_args(StageName)
BUILTIN_WEIGHTS = ("hybrid1365", "imagenet", "random")


def _beside_study(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("a path cannot contain a null byte")
    base = (info.context or {}).get("base", Path())
    return Path(base) / path.expanduser()


def _profile_beside_study(name: str, info: ValidationInfo) -> str:
    return str(_beside_study(Path(name), info)) if name.endswith((".yaml", ".yml", ".json")) else name


StudyPath = Annotated[Path, AfterValidator(_beside_study)]


def _count(limit: int, *, least: int = 1) -> Any:
    return Annotated[int, Field(strict=True, ge=least, le=limit)]


class Images(Section):
    """Where the images are: a folder each for targets and fillers, or a CSV table with a path column."""

    targets: StudyPath | None = None
    fillers: StudyPath | None = None
    table: StudyPath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.table is None) == (self.targets is None):
            raise ValueError(
                "give either `targets` (a folder, with `fillers` if there are any) or `table` (a CSV file)"
            )
        if self.table is not None and self.fillers is not None:
            raise ValueError("`fillers` goes with `targets`; in a `table` the column `role` says target or filler")
        if self.targets and self.fillers and os.path.realpath(self.targets) == os.path.realpath(self.fillers):
            raise ValueError("`fillers` is the folder of the targets: every image would be its own neighbour")
        return self


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Scores(Section):
    """A CSV table of memorability scores: its columns of images and scores, missing entries, reliability of scores."""

    file: StudyPath
    image: str = "im_ind"
    columns: tuple[str, ...] = Field(default=("corrected_hit",), min_length=1)
    missing: Annotated[tuple[Annotated[str, BeforeValidator(_number_as_text)], ...], BeforeValidator(_several)] = ()
    reliability: Mapping[str, Annotated[float, Field(gt=0, le=1)]] = {}


class Model(Section):
    """The network: weights, preprocessing, arithmetic precision, images per forward pass, storage type."""

    weights: str = "hybrid1365"
    digest: str | None = Field(default=None, pattern=r"^(sha256:)?[0-9a-f]{64}$")
    preprocessing: Literal["auto", "raw", "caffe"] = "auto"
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    batch_size: _count(4096) = 16  # type: ignore[valid-type]
    seed: _count(2**32 - 1, least=0) = 0  # type: ignore[valid-type]
    storage: Literal["float32", "float16"] = "float32"

    @model_validator(mode="after")
    def _known_weights(self, info: ValidationInfo) -> Self:
        if is_weights_path(self.weights):
            object.__setattr__(self, "weights", str(_beside_study(Path(self.weights), info)))
        return self


class Distinctiveness(Section):
    """Nearest-neighbour distances: protocol, metric, number of neighbours, pool within a category or not."""

    protocol: Literal["paper", "spc-public", "distinct"] = "paper"
    metric: Literal["euclidean", "cosine", "correlation"] = "euclidean"
    neighbours: _count(1000) = 1  # type: ignore[valid-type]
    within_category: bool = Field(default=False, strict=True)

    @property
    def category(self) -> str | None:
        """Column of the image table that neighbours must share, if they must."""
        return "category" if self.within_category else None

    @property
    def options(self) -> dict[str, Any]:
        """Settings as the function of the stage takes them and as the store keeps them."""
        return {
            "protocol": self.protocol,
            "metric": self.metric,
            "n_neighbours": self.neighbours,
            "category": self.category,
        }


class Reconstruction(Section):
    """Sparse coding: sampled units, dictionary, training, seeds, solver."""

    units: _count(1_000_000) = 1000  # type: ignore[valid-type]
    codewords: _count(100_000) = 500  # type: ignore[valid-type]
    batches: _count(1_000_000) = 1000  # type: ignore[valid-type]
    batch_size: _count(1_000_000) = 250  # type: ignore[valid-type]
    sparsity: float = Field(default=0.001, gt=0, le=1000, allow_inf_nan=False)
    seeds: tuple[_count(2**32 - 1, least=0), ...] = Field(default=(0,), min_length=1)  # type: ignore[valid-type]
    train_on: Literal["all", "fillers"] = "all"
    precision: Literal["float64", "float32"] = "float64"
    solver: Literal["paper", "converged", "pca"] = "paper"
    step: Literal["stable", "paper"] = "stable"

    @property
    def options(self) -> dict[str, Any]:
        """Settings as the function of the stage takes them and as the store keeps them; the seeds are no setting."""
        return {
            "n_units": self.units,
            "n_codewords": self.codewords,
            "n_batches": self.batches,
            **self.model_dump(exclude={"units", "codewords", "batches", "seeds"}),
        }


class Relate(Section):
    """Relation to the scores: bootstrap resamples, kind of interval, further controls (``measure:layer``)."""

    bootstrap: _count(1_000_000, least=10) = 1000  # type: ignore[valid-type]
    interval: Literal["percentile", "bca"] = "percentile"
    given: tuple[str, ...] = ()
    seed: _count(2**32 - 1, least=0) = 0  # type: ignore[valid-type]


class Shown(TypedDict):
    """What a study asks for of all that its store may hold."""

    layers: Sequence[str]
    seeds: Sequence[int]
    with_scores: bool


class StudyFile(Section):
    """A study as its file says it, all paths resolved.

    Raises
    ------
    InputError
        From `from_file` and `from_dict`: names every key that is wrong, its value and what is allowed.
    """

    store: StudyPath
    images: Images | None = None
    activations: StudyPath | None = None
    scores: Scores | None = None
    model: Model = Model()
    layers: tuple[str, ...] = Field(default=tuple(LAYERS), min_length=1)
    distinctiveness: Distinctiveness = Distinctiveness()
    reconstruction: Reconstruction = Reconstruction()
    relate: Relate = Relate()
    report: StudyPath = Field(default=Path("report.html"), validate_default=True)
    profiles: Mapping[StageName, Annotated[str, AfterValidator(_profile_beside_study)]] = {}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.images is None) == (self.activations is None):
            raise ValueError("give either `images` or `activations`")
        if len(set(self.layers)) != len(self.layers):
            raise ValueError(f"`layers` names a layer twice: {', '.join(self.layers)}")
        if len(set(self.reconstruction.seeds)) != len(self.reconstruction.seeds):
            raise ValueError(f"`seeds` names a seed twice: {', '.join(map(str, self.reconstruction.seeds))}")
        odd = [name for name in self.layers if not re.fullmatch(r"\w[\w.:+-]*", name)]  # each is a folder of the store
        if odd:
            raise ValueError(f"`layers` has {odd[0]!r}; a layer's name is letters, digits, then also . : + -")
        if self.report.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"`report` is {str(self.report)!r}; the name of the page ends in .html")
        unknown = [name for name in self.layers if name not in VGG16_LAYERS]
        if unknown and self.images is not None and self.model.weights in BUILTIN_WEIGHTS:
            raise ValueError(f"`layers` has {unknown[0]!r}, which VGG-16 does not; the seven are {', '.join(LAYERS)}")
        return self

    @property
    def stored(self) -> Store:
        """The store, there or to be made."""
        return Store(self.store)

    @property
    def shown(self) -> Shown:
        """What is shown of the store: nothing that the study does not ask for."""
        return {
            "layers": self.layers,
            "seeds": self.reconstruction.seeds,
            "with_scores": self.scores is not None,
        }

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Read and validate a study file; relative paths are taken from its folder.

        Raises
        ------
        InputError
            If the file cannot be read, is not YAML or says something that cannot be.
        """
        path = Path(path)
        return cls.from_dict(read_yaml(path, what="study file"), base=path.parent, origin=str(path))

    @classmethod
    def from_dict(cls, content: Mapping[str, Any], *, base: str | Path = ".", origin: str = "study") -> Self:
        """Validate a study given as a mapping with the study file's keys."""
        try:
            return cls.model_validate(dict(content), context={"base": Path(base).absolute()})
        except ValidationError as error:
            told = "\n".join(f"  {line}" for line in explain_errors(error, cls))
            raise InputError(f"{origin}:\n{told}") from None
