"""The study file: what to compute, validated into one frozen object."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, Self, TypedDict, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    model_serializer,
    model_validator,
)

from distspc.distances.options import DistanceOptions, Protocol
from distspc.errors import InputError
from distspc.extraction.imported.matrices import MATRIX_FILES, ONE_MATRIX_FILES, MatrixSource
from distspc.extraction.options import (
    BUILTIN_WEIGHTS,
    PREPROCESSING,
    Engine,
    ExtractionOptions,
    Precision,
    Preprocessing,
    StorageType,
    is_weights_path,
)
from distspc.extraction.pooling import POOLINGS, Pooling
from distspc.extraction.preprocessing import STEPS, StatedPreprocessing, stated
from distspc.io.yaml_files import Section, explain_errors, read_yaml
from distspc.kernels.distance.products import Metric
from distspc.kernels.sparse_coding.training import Precision as FitPrecision
from distspc.layers import LAYERS, VGG16_LAYERS, layer_label
from distspc.measures.registry import ChosenMeasure, parse_measures
from distspc.memorability.options import (
    COUNT_COLUMNS,
    RESPONSE_SCORES,
    TRIAL_COLUMNS,
    Duplicates,
    Interval,
    PredictionSource,
    ReadoutOptions,
    RelateOptions,
    ScoreSource,
    Test,
    TrialOptions,
)
from distspc.messages import did_you_mean, unknown_key
from distspc.reconstruction.options import ReconstructionOptions, Solver, Step, TrainOn
from distspc.results.measures import MEASURES
from distspc.store.scaling import Scaling
from distspc.store.store import Store
from distspc.study.networks import StudyNetwork

StageName = Literal["extract", "distances", "reconstruct", "measures", "readout", "relate", "report"]
STAGES: tuple[StageName, ...] = get_args(StageName)
OptionsT = TypeVar("OptionsT")

STUDY_WIDE = ("scaling",)
"""Settings of stages that are keys of the study itself."""


def _beside_study(path: Path, info: ValidationInfo) -> Path:
    if "\0" in str(path):
        raise ValueError("a path cannot contain a null byte")
    base = (info.context or {}).get("base", Path())
    return Path(base) / path.expanduser()


def _profile_beside_study(name: str, info: ValidationInfo) -> str:
    return _text_beside_study(name, info) if name.endswith((".yaml", ".yml", ".json")) else name


def _text_beside_study(path: str, info: ValidationInfo) -> str:
    return str(_beside_study(Path(path), info))


StudyPath = Annotated[Path, AfterValidator(_beside_study)]


def _count(limit: int, *, least: int = 1) -> Any:
    return Annotated[int, Field(strict=True, ge=least, le=limit)]


class _Settings(Section, Generic[OptionsT]):
    """A section that gives the settings of a stage: as its function takes them, and as the store keeps them.

    The fields bear the names of these; their keys in the study file may be other words.
    """

    model_config = ConfigDict(populate_by_name=False)
    made: ClassVar[type]

    @property
    def options(self) -> OptionsT:
        """The settings of the stage that this section has."""
        names = [field.name for field in fields(self.made) if field.name not in STUDY_WIDE]
        options: OptionsT = self.made(**{name: getattr(self, name) for name in names})
        return options

    @model_validator(mode="before")
    @classmethod
    def _keys(cls, content: Any) -> Any:
        """Take keys with underscores too, as all sections do."""
        if not isinstance(content, Mapping):
            return content
        keys = set(cls.key_names())
        spelled = {key: _kebab(key) for key in content if key not in keys and _kebab(key) in keys - set(content)}
        return {spelled.get(key, key): value for key, value in content.items()}

    @model_serializer(mode="wrap")
    def _by_key(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Give values by key, which is what validation takes."""
        words = {name: key.replace("-", "_") for key, name in self.fields_by_key().items()}
        return {words.get(name, name): value for name, value in handler(self).items()}

    def __getattr__(self, name: str) -> Any:
        """Give a field by its key in the study file too."""
        field = self.fields_by_key().get(_kebab(name), name)
        if field == name:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(self, field)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Copy with other values, by the names of fields or by their keys in the study file."""
        names = self.fields_by_key()
        return super().model_copy(update={names.get(_kebab(k), k): v for k, v in (update or {}).items()}, deep=deep)


def _kebab(key: Any) -> Any:
    return key.replace("_", "-") if isinstance(key, str) else key


class Images(Section):
    """Where the images are: a folder each for targets and fillers, or a CSV table with a path column."""

    targets: StudyPath | None = None
    """Folder of the images whose memorability is studied."""
    fillers: StudyPath | None = None
    """Folder of images that are only compared with."""
    table: StudyPath | None = None
    """CSV table with a column `path`, and `role`, `category` or any other; instead of folders."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.table is None) == (self.targets is None):
            raise ValueError(
                "give either `targets` (a folder, with `fillers` if there are any) or `table` (a CSV file)"
            )
        if self.table is not None and self.fillers is not None:
            raise ValueError("`fillers` goes with `targets`; in a `table` the column `role` says target or filler")
        if self.targets and self.fillers and os.path.realpath(self.targets) == os.path.realpath(self.fillers):
            raise ValueError(
                "`fillers` is the folder of the targets: every image would be its own neighbour; name another folder, "
                "or leave `fillers` out"
            )
        return self


def _names_beside_study(names: str, info: ValidationInfo) -> str:
    """Names of rows that are a file beside the study become its path; others are beside the matrix or in it."""
    file = _beside_study(Path(names), info)
    return str(file) if file.is_file() else names


RowNames = Annotated[str, AfterValidator(_names_beside_study)]


class LayerMatrix(Section):
    """One layer's matrix: its file, the array in a file of several, the names of its rows."""

    file: StudyPath
    """Matrix of the layer, a row for each image."""
    array: str | None = None
    """Name of the array in a file of several."""
    names: RowNames | None = None
    """Names of its rows: a file, a column or an array."""

    @model_validator(mode="before")
    @classmethod
    def _a_path(cls, content: Any) -> Any:
        return {"file": content} if isinstance(content, str | Path) else content


class Activations(Section):
    """Activations that somebody already has: a folder of .npy files, a matrix a layer, or one file of several."""

    folder: StudyPath | None = None
    """Folder in the authors' layout, `<layer>/Targets/<i>.npy`."""
    file: StudyPath | None = None
    """One file with an array for each layer."""
    names: RowNames | None = None
    """Names of the rows of all matrices."""
    layers: Mapping[str, LayerMatrix] = {}
    """The matrix of each layer."""

    @model_validator(mode="before")
    @classmethod
    def _a_path(cls, content: Any) -> Any:
        if not isinstance(content, str | Path):
            return content
        return {"file" if Path(content).suffix.lower() in MATRIX_FILES else "folder": content}

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum([self.folder is not None, self.file is not None, bool(self.layers)]) != 1:
            raise ValueError("`activations` is a folder, or has either `file` or `layers` (a matrix for each layer)")
        if self.folder is not None and self.names is not None:
            raise ValueError("`names` goes with matrices; the files of a folder are numbered: leave `names` out")
        return self

    def matrices(self, layers: Sequence[str]) -> dict[str, MatrixSource]:
        """Return the matrix of each layer; none for a folder."""
        if self.folder is not None:
            return {}
        given = self.layers or {layer: LayerMatrix(file=self.file) for layer in layers if self.file}
        shared = not self.layers and len(layers) > 1  # then each layer has an array of its own name
        return {
            layer: MatrixSource(
                str(given[layer].file), layer if shared else given[layer].array, given[layer].names or self.names
            )
            for layer in layers
        }


def _named_layer(layer: Any) -> tuple[Any, Any]:
    """Name and pooling of a layer as `layers` gives it; no pooling where it gives none."""
    if not isinstance(layer, Mapping):
        return layer, None
    if "name" not in layer or set(layer) - {"name", "pooling"}:
        keys = ", ".join(map(str, layer))
        raise ValueError(
            f"`layers` has a mapping with the keys {keys or '(none)'}; a layer is a name, or has `name` and `pooling`"
        )
    if not isinstance(layer["name"], str):
        raise ValueError(f"`layers` has the name {layer['name']!r}; expected the name of a layer, as text")
    return layer["name"], layer.get("pooling")


def _with_pooling(layers: Any, model: Any) -> tuple[list[Any], dict[str, Any]] | None:
    """Names of layers and the settings of their network, where layers are given with their pooling; else None."""
    if not isinstance(layers, list | tuple) or not any(isinstance(layer, Mapping) for layer in layers):
        return None
    rows = [_named_layer(layer) for layer in layers]
    settings = dict(model or {}) if isinstance(model, Mapping | None) else model.model_dump()
    common = settings.get("pooling", ExtractionOptions.pooling)
    words = {name: common.get(name, "none") if isinstance(common, Mapping) else common for name, _ in rows}
    words |= {name: pooling for name, pooling in rows if pooling is not None}
    return [name for name, _ in rows], {**settings, "pooling": words}


def _several(value: Any) -> Any:
    return value if isinstance(value, list | tuple) else (value,)


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class Scores(Section):
    """Memorability scores: a table of them (`file`), or of the responses of subjects that they are made of (`trials`).

    Either has a column of images, entries that mean a missing value, and scores whose reliability may be given.
    """

    file: StudyPath | None = None
    """CSV table of scores, a row for each image."""
    trials: StudyPath | None = None
    """CSV table of responses, a row for each subject and image, or counts for each image."""
    image: str = "im_ind"
    """Column that names the image."""
    columns: tuple[str, ...] = Field(default=("corrected_hit",), min_length=1)
    """Score columns."""
    missing: Annotated[tuple[Annotated[str, BeforeValidator(_number_as_text)], ...], BeforeValidator(_several)] = ()
    """Entries that mean a missing value, beside empty ones, NA and NaN."""
    reliability: Mapping[str, Annotated[float, Field(gt=0, le=1)]] = {}
    """Reliability of scores by column, for the noise ceiling."""
    subject: str = TrialOptions.subject
    """Trials: column of the subject."""
    old: str = TrialOptions.old
    """Trials: column that says whether the image had been shown."""
    response: str = TrialOptions.response
    """Trials: column of the response, old or new."""
    hits: str = TrialOptions.hits
    """Counts: column of hits."""
    misses: str = TrialOptions.misses
    """Counts: column of misses."""
    false_alarms: str = TrialOptions.false_alarms
    """Counts: column of false alarms."""
    correct_rejections: str = TrialOptions.correct_rejections
    """Counts: column of correct rejections."""
    duplicates: Duplicates = TrialOptions.duplicates
    """Trials: which of several responses of a subject to an image count."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.file is None) == (self.trials is None):
            raise ValueError("give either `file` (a table of scores) or `trials` (a table of subjects' responses)")
        if self.trials is None:
            if self._named(*_RESPONSE_KEYS):
                keys = ", ".join(self._named(*_RESPONSE_KEYS))
                raise ValueError(
                    f"{keys}: for `trials`, a table of subjects' responses, not for `file`; leave out, or name `trials`"
                )
            return self
        if self._named(*TRIAL_COLUMNS) and self._named(*COUNT_COLUMNS):
            raise ValueError(
                f"give the columns either of responses ({', '.join(TRIAL_COLUMNS)}) or of counts by image "
                f"({', '.join(COUNT_COLUMNS)})"
            )
        self._fill_in_trials()
        return self

    def _named(self, *keys: str) -> list[str]:
        """Keys of responses that are not as they are by default."""
        return [key for key in keys if getattr(self, key) != getattr(TrialOptions, key)]

    def _fill_in_trials(self) -> None:
        defaults = {"image": "image", "columns": RESPONSE_SCORES[:-1]}
        for name, value in defaults.items():
            if name not in self.model_fields_set:
                object.__setattr__(self, name, value)
        for key in ("columns", "reliability"):
            unknown = [name for name in getattr(self, key) if name not in RESPONSE_SCORES]
            if unknown:
                raise ValueError(f"`{key}` names {unknown[0]!r}; responses give {', '.join(RESPONSE_SCORES)}")

    @property
    def source(self) -> ScoreSource:
        """The table and its columns, as they are read."""
        if self.trials is None:
            return ScoreSource(self.file or "", self.image, self.columns, self.missing)
        counts = True if self._named(*COUNT_COLUMNS) else False if self._named(*TRIAL_COLUMNS) else None
        options = TrialOptions(**{name: getattr(self, name) for name in _RESPONSE_KEYS}, counts=counts)
        return ScoreSource(self.trials, self.image, self.columns, self.missing, options)


_RESPONSE_KEYS = (*TRIAL_COLUMNS, *COUNT_COLUMNS, "duplicates")


def _word_or_steps(value: Any) -> Any:
    if isinstance(value, Mapping):
        return stated(value)
    if value not in PREPROCESSING and not isinstance(value, StatedPreprocessing):
        raise ValueError(f"expected {', '.join(PREPROCESSING)}, or a mapping of {', '.join(STEPS)}")
    return value


def _pooling_words(value: Any) -> Any:
    words = value if isinstance(value, Mapping) else {"": value}
    for layer, word in words.items():
        if word not in POOLINGS:
            where = f"{layer}: invalid value {word!r}: " if layer else ""
            raise ValueError(f"{where}expected {', '.join(POOLINGS)}, for all layers or by layer")
    return value


def _bytes_of_text(value: Any) -> Any:
    """Bytes of a number with a unit, such as ``15 GB``."""
    if not isinstance(value, str):
        return value
    from dask.utils import parse_bytes

    try:
        return parse_bytes(value)
    except ValueError:
        raise ValueError(f"invalid value {value!r}: expected bytes, such as 15 GB") from None


def _kept(value: Any) -> Any:
    return value if value == "all" else _several(value)


class Model(_Settings[ExtractionOptions]):
    """The network: weights, preprocessing (a word or every step), precision, images per forward pass, storage type.

    Beside these, whose activations stay in the store (`keep`), and how many bytes of them may be there at a time; and
    other stores whose activations of the same images and network are taken (`reuse`).
    """

    made = ExtractionOptions
    weights: str = ExtractionOptions.weights
    """Network: a name, `timm:NAME`, or a path to .h5, .keras or .onnx."""
    file: Annotated[str, AfterValidator(_text_beside_study)] | None = ExtractionOptions.file
    """Weights of a timm network, instead of a download."""
    digest: str | None = Field(default=ExtractionOptions.digest, pattern=r"^(sha256:)?[0-9a-f]{64}$")
    """SHA-256 that the weights must have."""
    preprocessing: Annotated[Preprocessing, BeforeValidator(_word_or_steps)] = ExtractionOptions.preprocessing
    """`auto`: the network's own (VGG-16 and files: raw); or every step as a mapping."""
    pooling: Annotated[Pooling | Mapping[str, Pooling], BeforeValidator(_pooling_words)] = ExtractionOptions.pooling
    """What is kept of maps and tokens, for all layers or by layer."""
    prefix_tokens: _count(1024, least=0) | None = ExtractionOptions.prefix_tokens  # type: ignore[valid-type]
    """Class token and registers of a transformer, where the file does not say how many."""
    precision: Precision = ExtractionOptions.precision
    """Arithmetic of the forward pass."""
    engine: Engine | None = ExtractionOptions.engine
    """What runs VGG-16: `keras` (default), `onnx` (ONNX Runtime), or `auto`: ONNX Runtime where it is installed."""
    batch_size: _count(4096) = ExtractionOptions.batch_size  # type: ignore[valid-type]
    """Images of a forward pass."""
    seed: _count(2**32 - 1, least=0) = ExtractionOptions.seed  # type: ignore[valid-type]
    """Of random weights."""
    dtype: StorageType = Field(default=ExtractionOptions.dtype, alias="storage")
    """Number format of stored activations."""
    keep: Annotated[Literal["all"] | tuple[str, ...], BeforeValidator(_kept)] = "all"
    """Layers whose activations stay once all that rests on them is done."""
    reuse: Annotated[tuple[StudyPath, ...], BeforeValidator(_several)] = ()
    """Stores of other studies whose activations of the same images and network are taken."""
    disk: Annotated[int, Field(gt=0), BeforeValidator(_bytes_of_text)] | None = None
    """Bytes that activations may take at a time, such as `40 GB`; with `keep`."""

    @model_validator(mode="after")
    def _disk_with_keep(self) -> Self:
        if self.disk is not None and self.keep == "all":
            raise ValueError("`disk` goes with `keep`, the layers that stay: name them, or `keep: []` for none")
        return self

    def kept(self, layers: Sequence[str]) -> tuple[str, ...]:
        """Return those of some layers whose activations stay."""
        return tuple(layer for layer in layers if self.keep == "all" or layer in self.keep)

    @model_validator(mode="after")
    def _weights_beside_study(self, info: ValidationInfo) -> Self:
        if is_weights_path(self.weights):
            object.__setattr__(self, "weights", _text_beside_study(self.weights, info))
        return self


def _model_name(name: str) -> str:
    if not re.fullmatch(r"\w[\w.-]{0,63}", name):
        raise ValueError("expected a name of letters, digits, - _ and . that begins with a letter or digit")
    return name


class NamedModel(Model):
    """One network of several: its name, its layers, and what `model` takes."""

    name: Annotated[str, AfterValidator(_model_name)]
    """Name of the network in tables."""
    layers: tuple[str, ...] = Field(default=tuple(LAYERS), min_length=1)
    """Layers of the network."""

    @model_validator(mode="before")
    @classmethod
    def _pooling_by_layer(cls, content: Any) -> Any:
        """Take layers that are given with their pooling."""
        found = _with_pooling(content.get("layers"), content) if isinstance(content, Mapping) else None
        return {**found[1], "layers": found[0]} if found else content


class Distinctiveness(_Settings[DistanceOptions]):
    """Nearest-neighbour distances: protocol, metric, number of neighbours, pool within a category or not."""

    made = DistanceOptions
    protocol: Protocol = DistanceOptions.protocol
    """Comparison set, and whether identical images count."""
    metric: Metric = DistanceOptions.metric
    """Distance between activations."""
    n_neighbours: _count(1000) = Field(default=DistanceOptions.n_neighbours, alias="neighbours")  # type: ignore[valid-type]
    """Nearest neighbours; with more than one, their mean is kept too."""
    within_category: bool = Field(default=False, strict=True)
    """Whether neighbours must share the target's category."""

    @property
    def category(self) -> str | None:
        """Column of the image table that neighbours must share, if they must."""
        return "category" if self.within_category else None


class Reconstruction(_Settings[ReconstructionOptions]):
    """Sparse coding: sampled units, dictionary, training, seeds (no setting of their own), solver."""

    made = ReconstructionOptions
    n_units: _count(1_000_000) = Field(default=ReconstructionOptions.n_units, alias="units")  # type: ignore[valid-type]
    """Units drawn at random from the layer."""
    n_codewords: _count(100_000) = Field(default=ReconstructionOptions.n_codewords, alias="codewords")  # type: ignore[valid-type]
    """Codewords (atoms, basis functions) of the dictionary."""
    n_batches: _count(1_000_000) = Field(default=ReconstructionOptions.n_batches, alias="batches")  # type: ignore[valid-type]
    """Training batches."""
    batch_size: _count(1_000_000) = ReconstructionOptions.batch_size  # type: ignore[valid-type]
    """Images of a batch, drawn with replacement."""
    sparsity: float = Field(default=ReconstructionOptions.sparsity, gt=0, le=1000, allow_inf_nan=False)
    """Threshold of the sparse code."""
    seeds: tuple[_count(2**32 - 1, least=0), ...] = Field(default=(0,), min_length=1)  # type: ignore[valid-type]
    """Seeds of the random draws; several give the measure's reliability."""
    train_on: TrainOn = ReconstructionOptions.train_on
    """Images that train the dictionary."""
    precision: FitPrecision = ReconstructionOptions.precision
    """Arithmetic."""
    solver: Solver = ReconstructionOptions.solver
    """`paper`: its iterations; `converged`: the lasso; `pca`: principal components."""
    step: Step = ReconstructionOptions.step
    """`stable`: the paper's step of 0.01, shorter where that diverges; `paper`: always 0.01."""


def _measures_as_given(chosen: Sequence[ChosenMeasure]) -> list[str | dict[str, Any]]:
    return [one.as_given() for one in chosen]


FurtherMeasures = Annotated[tuple[Any, ...], BeforeValidator(parse_measures), PlainSerializer(_measures_as_given)]


class Readout(_Settings[ReadoutOptions]):
    """Linear readout of scores: folds of the cross-validation, ridge penalties to choose from, seed of the folds."""

    made = ReadoutOptions
    n_folds: _count(1000, least=2) = Field(default=ReadoutOptions.n_folds, alias="folds")  # type: ignore[valid-type]
    """Folds of the cross-validation."""
    penalties: tuple[Annotated[float, Field(ge=1e-8, le=1e12)], ...] = Field(
        default=ReadoutOptions.penalties, min_length=1, max_length=100
    )
    """Ridge penalties that are tried."""
    random_state: _count(2**32 - 1, least=0) = Field(default=ReadoutOptions.random_state, alias="seed")  # type: ignore[valid-type]
    """Seed of the folds."""


def _yes_or_settings(value: Any) -> Any:
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, Mapping | Readout | None):
        raise ValueError("expected true, false, or a mapping of folds, penalties, seed")
    return value


class Predictions(Section):
    """Memorability that others predicted: columns of the image table or the scores, or of a table of their own."""

    columns: tuple[str, ...] = Field(min_length=1)
    """Columns of memorability that other models predict."""
    file: StudyPath | None = None
    """CSV table that holds them; the table of images by default."""
    image: str = "image"
    """Column that names the image."""
    missing: Annotated[tuple[Annotated[str, BeforeValidator(_number_as_text)], ...], BeforeValidator(_several)] = ()
    """Entries that mean a missing value."""

    @model_validator(mode="before")
    @classmethod
    def _columns(cls, content: Any) -> Any:
        return {"columns": _several(content)} if isinstance(content, str | list | tuple) else content

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        if len(set(self.columns)) != len(self.columns):
            raise ValueError(f"`columns` names a column twice: {', '.join(self.columns)}; name each once")
        return self

    @property
    def source(self) -> PredictionSource:
        """The columns and their table, as they are read."""
        return PredictionSource(self.columns, self.file, self.image, self.missing)


class Relate(_Settings[RelateOptions]):
    """Relation to the scores: resamples, controls, categories, permutations, linear readout, others' predictions."""

    made = RelateOptions
    n_bootstrap: _count(1_000_000, least=10) = Field(default=RelateOptions.n_bootstrap, alias="bootstrap")  # type: ignore[valid-type]
    """Resamples of images."""
    interval: Interval = RelateOptions.interval
    """Kind of bootstrap CI."""
    given: tuple[str, ...] = RelateOptions.given
    """Measures, `measure:layer`, controlled for in further partial correlations."""
    control: Annotated[tuple[str, ...], BeforeValidator(_several)] = RelateOptions.control
    """Measures, scores or columns of the image table to control for; categories as fixed effects."""
    within: str | None = RelateOptions.within
    """Column whose categories are related each on its own, and their mean."""
    test: Test = RelateOptions.test
    """Test of each correlation beside the bootstrap."""
    n_permutations: _count(1_000_000, least=10) = Field(default=RelateOptions.n_permutations, alias="permutations")  # type: ignore[valid-type]
    """Permutations of that test."""
    random_state: _count(2**32 - 1, least=0) = Field(default=RelateOptions.random_state, alias="seed")  # type: ignore[valid-type]
    """Seed of resamples and permutations."""
    readout: Annotated[Readout | None, BeforeValidator(_yes_or_settings)] = None
    """Cross-validated kernel ridge from all activations of each layer: `true`, or settings."""
    predictions: Predictions | None = None
    """Memorability that other models predict, to stand beside the measures."""


class Shown(TypedDict):
    """What a study asks for of all that its store may hold."""

    layers: Sequence[str]
    seeds: Sequence[int]
    measures: Sequence[str]
    with_scores: bool


class StudyFile(Section):
    """A study as its file says it, all paths resolved.

    Raises
    ------
    InputError
        From `from_file` and `from_dict`: names every key that is wrong, its value and what is allowed.
    """

    store: StudyPath
    """Zarr store of the results, a folder of its own."""
    images: Images | None = None
    """Where the images are."""
    activations: Activations | None = None
    """Activations that you have, instead of a network."""
    scores: Scores | None = None
    """Memorability scores; without them the study ends with the measures."""
    model: Model = Model()
    """The network."""
    models: tuple[NamedModel, ...] = Field(default=(), min_length=1)
    """Several networks, instead of `model` and `layers`."""
    layers: tuple[str, ...] = Field(default=tuple(LAYERS), min_length=1)
    """Layers of the network; `{name: fc2, pooling: mean}` for one with its own pooling."""
    scaling: Scaling = "none"
    """`z-score`: features standardised over all images before both measures."""
    distinctiveness: Distinctiveness = Distinctiveness()
    """Nearest-neighbour distances."""
    reconstruction: Reconstruction = Reconstruction()
    """Sparse coding."""
    measures: FurtherMeasures = ()
    """Further measures, by [their words](measures.md)."""
    relate: Relate = Relate()
    """Correlation with the scores."""
    report: StudyPath = Field(default=Path("report.html"), validate_default=True)
    """Path of the report; figures/ and tables/ are written next to it."""
    report_measures: tuple[str, ...] = ()
    """Measures that the report's figure by layer shows."""
    profiles: Mapping[StageName, Annotated[str, AfterValidator(_profile_beside_study)]] = {}
    """Where each stage runs, by stage; `--profile` wins."""

    @model_validator(mode="before")
    @classmethod
    def _pooling_by_layer(cls, content: Any) -> Any:
        """Take layers that are given with their pooling, which goes to the settings of the network."""
        found = _with_pooling(content.get("layers"), content.get("model")) if isinstance(content, Mapping) else None
        return {**content, "layers": found[0], "model": found[1]} if found else content

    @model_validator(mode="before")
    @classmethod
    def _report_of_mapping(cls, content: Any) -> Any:
        """Take `report` as a mapping too: its file, and the measures of its figure."""
        report = content.get("report") if isinstance(content, Mapping) else None
        if not isinstance(report, Mapping):
            return content
        if unknown := [key for key in report if key not in ("file", "measures")]:
            raise ValueError(f"report.{unknown_key(str(unknown[0]), ['file', 'measures'])}")
        rest = {key: value for key, value in content.items() if key != "report"}
        given = {"report": report.get("file"), "report-measures": report.get("measures")}
        return {**rest, **{key: value for key, value in given.items() if value is not None}}

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        self._check_models()
        self._check_activations()
        for network in self.networks:
            self._check_layers(network)
            self._check_pooling(network)
        self._check_keep()
        if len(set(self.reconstruction.seeds)) != len(self.reconstruction.seeds):
            raise ValueError(
                f"`seeds` names a seed twice: {', '.join(map(str, self.reconstruction.seeds))}; name each once"
            )
        unknown = [name for name in self.report_measures if name not in MEASURES]
        if unknown:
            near = did_you_mean(unknown[0], MEASURES)
            raise ValueError(f"`report` has the measure {unknown[0]!r}; {near}there are {', '.join(MEASURES)}")
        if self.report.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"`report` is {str(self.report)!r}; the name of the page ends in .html")
        return self

    @model_serializer(mode="wrap")
    def _one_or_several(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what validation does not take beside the network, or the networks, that there are."""
        absent = ("model", "layers") if self.models else ("models",)
        return {name: value for name, value in handler(self).items() if name not in absent}

    def _check_models(self) -> None:
        """See that there is one network or several with names; these give the study its layers."""
        if not self.models:
            return
        if "model" in self.model_fields_set:
            raise ValueError(
                "give either `model` (one network) or `models` (several): move the settings of `model`, and its "
                "`layers`, into `models`, with a `name`"
            )
        if self.activations is not None:
            raise ValueError("`models` are networks for `images`; with `activations`, leave them out and name `layers`")
        names = [one.name.casefold() for one in self.models]
        twice = [one.name for one in self.models if names.count(one.name.casefold()) > 1]
        if twice:
            raise ValueError(
                f"`models` has duplicate names: {', '.join(twice)} (upper and lower case are the same); rename one"
            )
        labels = tuple(layer_label(layer, one.name) for one in self.models for layer in one.layers)
        if "layers" in self.model_fields_set:
            raise ValueError("with `models`, each of them has its own `layers`: move `layers` there")
        object.__setattr__(self, "layers", labels)

    def _check_layers(self, network: StudyNetwork) -> None:
        """See that each layer is named once, as a layer may be, and that VGG-16 has it."""
        layers, where = network.layers, network.titled("`layers` of model" if network.model else "`layers`")
        if len(set(layers)) != len(layers):
            raise ValueError(f"{where} names a layer twice: {', '.join(layers)}; name each once")
        odd = [name for name in layers if not re.fullmatch(r"[\w/][\w.:+/-]{0,199}", name)]  # listed with commas
        if odd:
            raise ValueError(f"{where} has {odd[0]!r}; a layer's name is letters, digits and /, then also . : + -")
        unknown = [name for name in layers if name not in VGG16_LAYERS]
        if unknown and self.activations is None and network.options.weights in BUILTIN_WEIGHTS:
            near = did_you_mean(unknown[0], VGG16_LAYERS)
            raise ValueError(
                f"{where} has {unknown[0]!r}, which VGG-16 does not; {near}the seven are {', '.join(LAYERS)}"
            )

    def _check_activations(self) -> None:
        """See that images and activations go together; without `layers` they are those that have a matrix."""
        source = self.activations
        if self.images is None and (source is None or source.folder is None):
            needed = "`activations` of matrices need `images` too, whose names their rows bear: a table or folders"
            raise ValueError("give either `images` or `activations`: neither is there" if source is None else needed)
        if source is None:
            return
        if self.images is not None and source.folder is not None:
            raise ValueError(
                "give either `images` or `activations`, not both: beside `images`, activations are matrices with a row "
                "for each (`file` or `layers`), no folder"
            )
        if source.layers and "layers" not in self.model_fields_set:
            object.__setattr__(self, "layers", tuple(source.layers))
        if len(self.layers) > 1 and source.file and source.file.suffix.lower() in ONE_MATRIX_FILES:
            raise ValueError(
                f"`activations` has one matrix, {source.file.name!r}, for {len(self.layers)} layers: name the one "
                "layer under `layers`, or give a matrix each, such as `activations: {layers: {fc2: fc2.csv}}`"
            )
        without = [layer for layer in self.layers if source.layers and layer not in source.layers]
        if without:
            raise ValueError(
                f"`layers` has {without[0]!r}, of which `activations` has no matrix: add one, or leave the layer out"
            )

    def _check_pooling(self, network: StudyNetwork) -> None:
        pooling = network.options.pooling
        if self.activations is not None and pooling != "none":
            raise ValueError("`pooling` goes with a network: `activations` are taken as they are; leave it out")
        others = [name for name in pooling if name not in network.layers] if isinstance(pooling, Mapping) else []
        if others:
            where = network.titled("`pooling` of model" if network.model else "`pooling`")
            raise ValueError(f"{where} names {others[0]!r}, which is not among `layers`: {', '.join(network.layers)}")

    def _check_keep(self) -> None:
        models: list[tuple[Model, tuple[str, ...]]] = [(one, one.layers) for one in self.models]
        for one, layers in models or [(self.model, self.layers)]:
            others = [name for name in one.keep if name not in layers] if one.keep != "all" else []
            if others:
                where = f"`keep` of model {one.name}" if isinstance(one, NamedModel) else "`keep`"
                raise ValueError(f"{where} names {others[0]!r}, which is not among `layers`: {', '.join(layers)}")

    @property
    def networks(self) -> tuple[StudyNetwork, ...]:
        """The networks that images go through, in order, each with its layers."""
        if not self.models:
            return (self._network("", self.model, tuple(self.layers)),)
        found = []
        for one in self.models:
            layers = tuple(layer for layer in one.layers if layer_label(layer, one.name) in self.layers)
            found += [self._network(one.name, one, layers)] if layers else []
        return tuple(found)

    def _network(self, name: str, model: Model, layers: tuple[str, ...]) -> StudyNetwork:
        network = StudyNetwork(name, model.options, layers, model.kept(layers), model.disk, model.reuse)
        return network.with_stored_engine(self.stored) if model.engine == "auto" else network

    def network_of(self, layer: str) -> StudyNetwork:
        """Return the network that a layer of the study is of."""
        return next(network for network in self.networks if layer in network.labels)

    @property
    def stored(self) -> Store:
        """The store, there or to be made."""
        return Store(self.store)

    @property
    def distance_options(self) -> DistanceOptions:
        """The settings of the distances."""
        return replace(self.distinctiveness.options, scaling=self.scaling)

    @property
    def reconstruction_options(self) -> ReconstructionOptions:
        """The settings of the reconstruction."""
        return replace(self.reconstruction.options, scaling=self.scaling)

    @property
    def shown(self) -> Shown:
        """What is shown of the store: nothing that the study does not ask for."""
        return {
            "layers": self.layers,
            "seeds": self.reconstruction.seeds,
            "measures": [one.word for one in self.measures],
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
            lines = "\n".join(f"  {line}" for line in explain_errors(error, cls))
            raise InputError(f"{origin}:\n{lines}") from None
