"""Networks of timm in torch: the outputs of their blocks or stages, by `forward_intermediates`."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.backends.base import (
    Memory,
    NetworkLayer,
    NetworkSize,
    random_kernel,
    refuse_overflow,
    settled_size,
)
from distspc.extraction.files import weights as weight_files
from distspc.extraction.files.timm_models import import_timm
from distspc.extraction.network_spec import NetworkSpec, refuse_unknown
from distspc.extraction.options import TIMM
from distspc.extraction.pooling import Prefix

IMPORTS_NBYTES = 770 * 2**20
"""Memory of a worker with torch and timm."""


class TimmNetwork:
    """A network of timm, run up to its deepest requested block (see `distspc.extraction.backends.base.Backend`)."""

    def __init__(self, spec: NetworkSpec, n_threads: int | None = None) -> None:
        self._torch = importlib.import_module("torch")
        if n_threads is not None:
            self._torch.set_num_threads(n_threads)
        self._torch.backends.cudnn.allow_tf32 = False
        self._device = "cuda" if self._torch.cuda.is_available() else "cpu"
        self._precision, self._dtype = spec.precision, getattr(self._torch, spec.precision)
        model = _build(spec)
        self._blocks = _requested(model, spec.layers)
        self._model = model.to(self._device, self._dtype).eval()
        self.input_size = _input_size(spec, model)

    def run(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Outputs of the requested blocks, float32: (n, token, channel), prefix tokens first; or channels last."""
        torch = self._torch
        batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2))).to(self._device, self._dtype)
        wanted = sorted(set(self._blocks.values()))
        with torch.inference_mode():
            outputs = dict(zip(wanted, _intermediates(self._model, batch, wanted), strict=True))
        found = {layer: outputs[block].float().cpu().numpy() for layer, block in self._blocks.items()}
        refuse_overflow(found, self._precision)
        return found


def list_layers(spec: NetworkSpec) -> list[NetworkLayer]:
    """All blocks or stages, in order, with the shapes that one image gives them."""
    model = _build(spec).eval()
    names = _names(model)
    outputs = _empty_run(model, _input_size(spec, model), list(range(len(names))))
    kinds = [type(_submodule(model, name)).__name__ for name in names]
    return [NetworkLayer(*found) for found in zip(names, kinds, outputs, strict=True)]


def measure(spec: NetworkSpec) -> NetworkSize:
    """How large the requested part is: the network is run once, on an empty image."""
    model = _build(spec).eval()
    blocks = _requested(model, spec.layers)
    wanted = sorted(set(blocks.values()))
    counter = importlib.import_module("torch.utils.flop_counter").FlopCounterMode(display=False)
    with counter, _output_sizes(model) as sizes:
        shapes = dict(zip(wanted, _empty_run(model, _input_size(spec, model), wanted), strict=True))
    n_parameters = sum(weight.numel() for weight in model.parameters())
    memory = Memory.of(IMPORTS_NBYTES, 2, n_parameters, max(sizes, default=0))
    return NetworkSize({layer: shapes[block] for layer, block in blocks.items()}, counter.get_total_flops(), memory)


@contextlib.contextmanager
def _output_sizes(model: Any) -> Iterator[list[int]]:
    """Values of the outputs of all modules that run meanwhile, for one image."""
    sizes: list[int] = []

    def note(module: Any, inputs: Any, output: Any) -> None:
        sizes.append(output.numel() if hasattr(output, "numel") else 0)

    hooks = [module.register_forward_hook(note) for module in model.modules()]
    try:
        yield sizes
    finally:
        for hook in hooks:
            hook.remove()


def prefix(spec: NetworkSpec) -> Prefix | None:
    """Tokens before those of patches, by timm's own count; None where it has none. Built without its weights."""
    model = _created(import_timm(), spec.architecture.removeprefix(TIMM), pretrained=False)
    n_tokens = getattr(model, "num_prefix_tokens", None)
    return None if n_tokens is None else Prefix(int(n_tokens), getattr(model, "cls_token", None) is not None)


def release() -> None:
    """Give the memory of a network that is gone back to the GPU."""
    torch = sys.modules.get("torch")  # not there: no network has run
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()


# ---------------------------------------------------------------- the network


def _build(spec: NetworkSpec) -> Any:
    """The network with its weights, which are read as numbers alone."""
    timm, torch = import_timm(), importlib.import_module("torch")
    name = spec.architecture.removeprefix(TIMM)
    sizes = _sizes(spec)
    if spec.weights == "random":
        model = _created(timm, name, pretrained=False, **sizes)
        _randomise(model, torch, spec.seed)
        return model
    weight_files.check_digest(spec.weights, weight_files.file_digest(spec.weights, read=True), spec.digest)
    state = _read_state(spec.weights, torch)
    return _created(timm, name, pretrained=True, pretrained_cfg_overlay={"state_dict": state}, **sizes)


def _created(timm: Any, name: str, **settings: Any) -> Any:
    try:
        model = timm.create_model(name, **settings)
    except (RuntimeError, TypeError, ValueError, KeyError) as error:
        first = " ".join(str(error).split())[:200]
        raise InputError(f"timm:{name} cannot be built with these weights ({type(error).__name__}: {first})") from error
    if not hasattr(model, "forward_intermediates"):
        raise InputError(f"timm:{name} has no forward_intermediates in timm {timm.__version__}: take another network")
    return model


def _sizes(spec: NetworkSpec) -> dict[str, Any]:
    """Setting of the input's size where the study states another than the network's own and it can be set."""
    timm = import_timm()
    own = tuple(timm.get_pretrained_cfg(spec.architecture.removeprefix(TIMM)).input_size[1:])
    if spec.input_size in (None, own):
        return {}
    maker = timm.model_entrypoint(spec.architecture.removeprefix(TIMM).partition(".")[0])
    module = importlib.import_module(maker.__module__)
    return {"img_size": spec.input_size} if "img_size" in inspect.getsource(module) else {}


def _input_size(spec: NetworkSpec, model: Any) -> tuple[int, int]:
    config = model.pretrained_cfg
    fixed = config["input_size"][1:]
    return spec.input_size or settled_size(fixed, None)


def _read_state(path: str, torch: Any) -> Any:
    """Weights by name; no object of another kind is ever made from a file."""
    try:
        if Path(path).suffix.lower() == ".safetensors":
            return importlib.import_module("safetensors.torch").load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # readers of damaged files raise nearly everything
        first = " ".join(str(error).split())[:160]
        raise InputError(f"weights {path!r} cannot be read ({type(error).__name__}: {first})") from error
    for key in ("state_dict", "model"):
        state = state[key] if isinstance(state, dict) and isinstance(state.get(key), dict) else state
    return state


def _randomise(model: Any, torch: Any, seed: int) -> None:
    """Draw all kernels anew, and set biases to 0; normalisation keeps the constants that it is born with."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim >= 2:
                drawn = random_kernel(tuple(weight.shape), math.prod(weight.shape[1:]), seed=seed, name=name)
                weight.copy_(torch.from_numpy(drawn))
            elif name.endswith("bias"):  # those of convolutions are born random
                weight.zero_()


# ---------------------------------------------------------------- its layers


def _names(model: Any) -> list[str]:
    """Names of the blocks or stages, by timm's own table."""
    return [str(info["module"]) for info in model.feature_info]


def _submodule(model: Any, name: str) -> Any:
    try:
        return model.get_submodule(name)
    except AttributeError:  # some names are of outputs, not of modules
        return model


def _requested(model: Any, layers: tuple[str, ...]) -> dict[str, int]:
    """Number of each requested block."""
    names = _names(model)
    refuse_unknown(layers, names)
    return {layer: names.index(layer) for layer in layers}


def _empty_run(model: Any, size: tuple[int, int], wanted: list[int]) -> list[tuple[int, ...]]:
    """Shapes of some blocks' outputs for one image."""
    torch = importlib.import_module("torch")
    with torch.inference_mode():
        outputs = _intermediates(model, torch.zeros(1, 3, *size), wanted)
    return [tuple(int(n) for n in output.shape[1:]) for output in outputs]


def _intermediates(model: Any, batch: Any, wanted: list[int]) -> list[Any]:
    """Outputs of some blocks, before any normalisation that follows: prefix tokens first, channels last."""
    tokens = "return_prefix_tokens" in inspect.signature(model.forward_intermediates).parameters
    common = {"indices": wanted, "norm": False, "stop_early": True, "intermediates_only": True}
    if not tokens:
        return [_channels_last(output) for output in model.forward_intermediates(batch, output_fmt="NCHW", **common)]
    with contextlib.suppress(AssertionError):
        found = model.forward_intermediates(batch, output_fmt="NLC", return_prefix_tokens=True, **common)
        return [_with_prefix(one) for one in found]
    return [_channels_last(output) for output in model.forward_intermediates(batch, output_fmt="NCHW", **common)]


def _with_prefix(output: Any) -> Any:
    """Tokens of an image, those before its patches first."""
    torch = importlib.import_module("torch")
    if not isinstance(output, tuple):
        return output
    patches, prefix = output
    return patches if prefix is None else torch.cat([prefix, patches], dim=1)


def _channels_last(output: Any) -> Any:
    return output.permute(0, 2, 3, 1).contiguous() if output.ndim == 4 else output
