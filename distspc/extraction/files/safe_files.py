"""Model files that others made: read as data, never run. What is not on the lists here is refused."""

from __future__ import annotations

import json
import os
import pickletools
import re
import zipfile
from collections.abc import Iterator
from typing import Any

from distspc.errors import InputError

MAX_CONFIG_NBYTES = 2**26
OLDER_KERAS = ("tf_keras", "tensorflow")

# ---------------------------------------------------------------- what a Keras model may be made of


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


LAYERS = _words(
    """
    Activation ActivityRegularization AdaptiveAveragePooling1D AdaptiveAveragePooling2D AdaptiveAveragePooling3D
    AdaptiveMaxPooling1D AdaptiveMaxPooling2D AdaptiveMaxPooling3D Add AdditiveAttention AlphaDropout Attention Average
    AveragePooling1D AveragePooling2D AveragePooling3D AvgPool1D AvgPool2D AvgPool3D BatchNormalization Bidirectional
    CenterCrop Concatenate Conv1D Conv1DTranspose Conv2D Conv2DTranspose Conv3D Conv3DTranspose ConvLSTM1D ConvLSTM2D
    ConvLSTM3D Convolution1D Convolution1DTranspose Convolution2D Convolution2DTranspose Convolution3D
    Convolution3DTranspose Cropping1D Cropping2D Cropping3D Dense DepthwiseConv1D DepthwiseConv2D Dot Dropout ELU
    EinsumDense Embedding Flatten GRU GRUCell GaussianDropout GaussianNoise GlobalAveragePooling1D
    GlobalAveragePooling2D GlobalAveragePooling3D GlobalAvgPool1D GlobalAvgPool2D GlobalAvgPool3D GlobalMaxPool1D
    GlobalMaxPool2D GlobalMaxPool3D GlobalMaxPooling1D GlobalMaxPooling2D GlobalMaxPooling3D GroupNormalization
    GroupQueryAttention Identity InputLayer LSTM LSTMCell LayerNormalization LeakyReLU Masking MaxPool1D MaxPool2D
    MaxPool3D MaxPooling1D MaxPooling2D MaxPooling3D Maximum Minimum MultiHeadAttention Multiply Normalization PReLU
    Permute RMSNormalization RNN RandomBrightness RandomColorJitter RandomContrast RandomCrop RandomErasing RandomFlip
    RandomGaussianBlur RandomGrayscale RandomHeight RandomHue RandomRotation RandomSaturation RandomShear
    RandomTranslation RandomWidth RandomZoom ReLU RepeatVector Rescaling Reshape Resizing SeparableConv1D
    SeparableConv2D SeparableConvolution1D SeparableConvolution2D SimpleRNN SimpleRNNCell Softmax SpatialDropout1D
    SpatialDropout2D SpatialDropout3D SpectralNormalization StackedRNNCells Subtract SyncBatchNormalization
    ThresholdedReLU TimeDistributed UnitNormalization UpSampling1D UpSampling2D UpSampling3D ZeroPadding1D
    ZeroPadding2D ZeroPadding3D
    """
)
"""Layers that compute from their inputs and weights alone. Not here: those that run code or another framework
(Lambda, JaxLayer, FlaxLayer, TFSMLayer, TorchModuleWrapper) or read files (StringLookup, TextVectorization, ...)."""

_MODELS = _words("Functional Model Sequential")
_INITIALIZERS = _words(
    """
    Constant GlorotNormal GlorotUniform HeNormal HeUniform Identity IdentityInitializer LecunNormal LecunUniform Ones
    Orthogonal OrthogonalInitializer RandomNormal RandomUniform TruncatedNormal VarianceScaling Zeros
    """
)
_REGULARIZERS = _words("L1 L1L2 L2 OrthogonalRegularizer")
_CONSTRAINTS = _words("MaxNorm MinMaxNorm NonNeg UnitNorm")
_POLICIES = _words("DTypePolicy DTypePolicyMap FloatDTypePolicy Policy")
_OPERATIONS = _words(
    """
    Abs Absolute Add Amax Amin Argmax Argmin Average AveragePool BatchNorm BroadcastTo Cast Ceil Celu Clip Concatenate
    Conv ConvTranspose Copy CropImages DepthwiseConv Divide DivideNoNan Dot DotProductAttention Einsum Elu Equal Erf
    Exp ExpandDims Expm1 ExtractPatches Flip Floor FloorDivide Gelu GetItem Glu Greater GreaterEqual HardSigmoid
    HardSilu HardTanh LayerNorm LeakyRelu Less LessEqual Log Log1p LogSigmoid LogSoftmax Logsumexp Matmul Max MaxPool
    Maximum Mean Min Minimum Mod Moments Moveaxis Multiply Negative Norm Normalize NotEqual OnesLike Pad PadImages
    Power Prod RGBToGrayscale RMSNorm Ravel Reciprocal Relu Relu6 Repeat Reshape Resize Roll Round Rsqrt Selu
    SeparableConv Sigmoid Sign Silu Slice Softmax Softplus Softsign Split Sqrt Square Squeeze Stack Std StopGradient
    Subtract Sum Swapaxes Take Tan Tanh Tensordot Tile Transpose TrueDivide Unstack Var Where ZerosLike
    """
)

_BY_MODULE = (
    (r"keras", _MODELS | LAYERS | _POLICIES),
    (r"keras(\.src)?(\.engine|\.models)?(\.functional|\.sequential|\.model|\.training)?", _MODELS),
    (r"keras(\.src)?\.layers(\.\w+)*", LAYERS),
    (r"keras(\.src)?\.initializers(\.\w+)*", _INITIALIZERS),
    (r"keras(\.src)?\.regularizers(\.\w+)*", _REGULARIZERS),
    (r"keras(\.src)?\.constraints(\.\w+)*", _CONSTRAINTS),
    (r"keras(\.src)?\.(dtype_policies|mixed_precision)(\.\w+)*", _POLICIES),
    (r"keras\.src\.ops\.(core|image|linalg|math|nn|numpy)", _OPERATIONS),
    (r"keras\.src\.applications\.convnext", _words("LayerScale StochasticDepth")),
    (r"keras\.src\.applications\.inception_resnet_v2", _words("CustomScaleLayer")),
)
_WITHOUT_MODULE = _MODELS | LAYERS | _INITIALIZERS | _REGULARIZERS | _CONSTRAINTS | _POLICIES
"""What Keras 2 names by class alone."""

_PLAIN = _words("TensorShape __bytes__ __ellipsis__ __keras_tensor__ __numpy__ __slice__ __tensor__ __tuple__")
"""Values that Keras writes as objects."""


def is_archive(path: str | os.PathLike[str]) -> bool:
    """Whether Keras reads a model file as a zip archive, not as HDF5: by its ending and its content.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    bool
    """
    return os.fspath(path).endswith(".keras") and zipfile.is_zipfile(path)


def open_hdf5(path: str | os.PathLike[str]) -> Any:
    """Open an HDF5 file to read.

    Raises
    ------
    InputError
        If it is none, or not whole.
    """
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as error:
        reason = "a zip archive: name it .keras" if zipfile.is_zipfile(path) else error.strerror or error
        raise InputError(f"weights {os.fspath(path)!r} are not a whole HDF5 or .keras file ({reason})") from error


def model_config(path: str | os.PathLike[str]) -> Any:
    """Read the description of a whole model.

    Parameters
    ----------
    path
        A ``.keras`` or ``.h5`` file with a whole model.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If it is too long, or cannot be read.
    """
    try:
        text = _config_text(path)
        if len(text) > MAX_CONFIG_NBYTES:
            raise InputError(f"model {os.fspath(path)!r}: its description has {len(text)} bytes")
        return json.loads(text)
    except (KeyError, ValueError, RecursionError, zipfile.BadZipFile, OSError) as error:
        raise InputError(f"model {os.fspath(path)!r} is damaged ({type(error).__name__}: {error})") from error


def _config_text(path: str | os.PathLike[str]) -> str:
    if not is_archive(path):
        with open_hdf5(path) as file:
            text = file.attrs["model_config"]
            return text.decode() if isinstance(text, bytes) else str(text)
    with zipfile.ZipFile(path) as archive, archive.open("config.json") as stream:
        return stream.read(MAX_CONFIG_NBYTES + 1).decode()


def parts(config: Any) -> Iterator[dict[str, Any]]:
    """All mappings inside a model's description."""
    waiting = [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            yield part
            waiting.extend(part.values())
        elif isinstance(part, list):
            waiting.extend(part)


def refuse_code(path: str | os.PathLike[str]) -> None:
    """Refuse a saved model that is made of anything but Keras's own layers, or whose names lead elsewhere as paths.

    Parameters
    ----------
    path
        A ``.keras`` or ``.h5`` file with a whole model.

    Raises
    ------
    InputError
        Names the class or the name that is refused; or if the model's description cannot be read.
    """
    config, where = model_config(path), f"model {os.fspath(path)!r}"
    if isinstance(config, dict):
        config.pop("compile_config", None)  # a model is loaded without
    for part in parts(config):
        if "class_name" in part:
            _refuse_class(part, where)
        if "name" in part and _leads_elsewhere(part["name"], is_archive(path)):
            raise InputError(
                f"{where} has a layer called {part['name']!r}, which is no plain name: "
                "rename the layer and save the model again"
            )
    if is_archive(path):
        _refuse_members(path, where)


def _refuse_class(part: dict[str, Any], where: str) -> None:
    """Refuse an object of a model that is not on the lists."""
    kind, module, registered = part["class_name"], part.get("module"), part.get("registered_name")
    if _is_listed(kind, module) and registered in (None, kind):
        return
    package = str(module).split(".")[0]
    if package in OLDER_KERAS and kind not in ("Lambda", "__lambda__"):
        raise InputError(
            f"{where} was saved by an older Keras package ({module}), whose .keras files Keras 3 "
            "does not read: load it there and save it as .h5"
        )
    raise InputError(
        f"{where} holds code ({registered or kind!r} of {module or 'its own'}), which is never run. "
        "Save it with Keras's own layers only, none that reads files"
    )


def _is_listed(kind: Any, module: Any) -> bool:
    if not isinstance(kind, str):
        return False
    if kind in _PLAIN:
        return True
    if module is None:
        return kind in _WITHOUT_MODULE
    return any(kind in names and re.fullmatch(pattern, str(module)) for pattern, names in _BY_MODULE)


def _leads_elsewhere(name: Any, is_path: bool) -> bool:
    r"""Whether a name would leave its place as a path: `..`, `\`, a null byte; `/` too where names become paths.

    Keras 2 allowed `/` in the names of layers of .h5 files, where it is replaced before use.
    """
    if not isinstance(name, str):
        return False
    parts = name.split("/")
    return "\\" in name or "\0" in name or ".." in name or "." in parts or "" in parts or (is_path and len(parts) > 1)


def _refuse_members(path: str | os.PathLike[str], where: str) -> None:
    """Refuse files in an archive that would be unpacked elsewhere, or that a layer would read."""
    with zipfile.ZipFile(path) as archive:
        names = [entry.orig_filename for entry in archive.infolist()]
    for name in names:
        if _leads_elsewhere(name.rstrip("/"), False) or ":" in name:
            raise InputError(f"{where} holds a file {name!r}, whose name leads elsewhere: save the model again")
        if name.startswith("assets/") and not name.endswith("/"):
            raise InputError(f"{where} holds a file {name!r} for a layer to read, which none of Keras's own needs here")


# ---------------------------------------------------------------- torch

_TORCH_GLOBALS = re.compile(
    r"torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)|collections OrderedDict|torch (\w+Storage|Size|\w*float\w*)"
    r"|torch\.storage UntypedStorage"
)


def refuse_torch_code(path: str | os.PathLike[str]) -> None:
    """Refuse a torch file that is neither safetensors nor tensors alone; nothing of it is loaded.

    What passes is to be read with ``safetensors``, or with ``torch.load(path, weights_only=True)`` of torch 2.6 or
    later, never without that word.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputError
        If it is of another kind (TorchScript, a pickled module, a pickle without archive) or damaged.
    """
    where = f"weights {os.fspath(path)!r}"
    if os.fspath(path).endswith(".safetensors"):
        _check_safetensors(path, where)
        return
    if not zipfile.is_zipfile(path):
        raise InputError(f"{where} are no safetensors and no archive of torch.save: save the state_dict as safetensors")
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.endswith(".pkl")]
        if len(pickles) != 1 or not pickles[0].endswith("/data.pkl"):
            raise InputError(f"{where} hold code (TorchScript), which is never run: save the state_dict as safetensors")
        foreign = next((name for name in _globals(archive.read(pickles[0]), where) if not _is_tensor(name)), None)
    if foreign is not None:
        raise InputError(f"{where} hold code ({foreign}), which is never run: save the state_dict as safetensors")


def _is_tensor(name: str) -> bool:
    return _TORCH_GLOBALS.fullmatch(name) is not None


def _globals(pickled: bytes, where: str) -> Iterator[str]:
    """Everything that a pickle would import, as ``module name``; nothing is imported."""
    try:
        for opcode, argument, _ in pickletools.genops(pickled):
            if opcode.name == "GLOBAL":
                yield str(argument)
            elif opcode.name in ("INST", "STACK_GLOBAL") or opcode.name.startswith("EXT"):  # torch writes none of these
                yield opcode.name
    except ValueError as error:
        raise InputError(f"{where} are damaged ({error})") from error


def _check_safetensors(path: str | os.PathLike[str], where: str) -> None:
    """Look at the header: a length, then JSON, which fits into the file."""
    try:
        with open(path, "rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(100 * 10**6, os.path.getsize(path) - 8):
                raise ValueError(f"a header of {length} bytes")
            json.loads(stream.read(length))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{where} are not a whole safetensors file ({error})") from error
