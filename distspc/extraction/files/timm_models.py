"""Networks of timm as plain facts: how they want their images, where their weights are; torch is imported inside."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from distspc.errors import InputError
from distspc.extraction.preprocessing import StatedPreprocessing, stated
from distspc.messages import did_you_mean

SAFE_FILES = (".safetensors", ".pth", ".pt", ".bin")
_RULES = {"center": "crop", "squash": "stretch"}


def import_timm() -> Any:
    """Import timm.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        import timm
    except ImportError as error:
        raise InputError(f"weights of timm need more packages ({error}): pip install 'distspc[torch]'") from error
    return timm


def pretrained_config(name: str) -> dict[str, Any]:
    """What timm says about a network.

    Parameters
    ----------
    name
        Such as ``vit_base_patch14_dinov2.lvd142m``.

    Returns
    -------
    dict

    Raises
    ------
    InputError
        If timm has no such network; names a near miss.
    """
    timm = import_timm()
    architecture = name.partition(".")[0]
    if not timm.is_model(architecture):
        hint = did_you_mean(architecture, timm.list_models())
        raise InputError(f"weights 'timm:{name}': timm {timm.__version__} has no {architecture!r}; {hint}".rstrip("; "))
    try:
        config = timm.get_pretrained_cfg(name)
    except RuntimeError as error:
        known = timm.list_pretrained(f"{architecture}*")
        raise InputError(
            f"weights 'timm:{name}': {architecture} has no such weights; {did_you_mean(name, known)}"
            f"it has {', '.join(known)}"
        ) from error
    if config is None:
        raise InputError(f"weights 'timm:{name}': timm has no settings for {architecture}: choose another network")
    return dict(config.to_dict())


def own_preprocessing(name: str) -> StatedPreprocessing:
    """How timm prepares images for a network, by its own data configuration.

    Parameters
    ----------
    name
        Name of the network, ``:random`` aside.

    Returns
    -------
    StatedPreprocessing

    Raises
    ------
    InputError
        If timm's way has no counterpart here (borders added).
    """
    known = pretrained_config(name)
    from timm.data import resolve_data_config

    config: Mapping[str, Any] = resolve_data_config({}, pretrained_cfg=known)
    mode = config.get("crop_mode") or "center"
    try:
        return stated(
            {
                "mean": list(config["mean"]),
                "std": list(config["std"]),
                "scale": "1/255",
                "resize": _RULES.get(mode, mode),
                "interpolation": config["interpolation"],
                "antialias": True,
                "crop-share": config["crop_pct"],
                "size": list(config["input_size"][1:]),
            }
        )
    except ValueError as error:
        raise InputError(f"timm:{name}: timm's own preprocessing is not one of ours ({error}); state it") from error


def weights_file(name: str) -> str:
    """Path of a network's weights in the cache of the hub that timm uses, fetched if need be.

    Raises
    ------
    InputError
        If there are none, or they cannot be fetched; says what to do by hand.
    """
    repository = pretrained_config(name).get("hf_hub_id")
    if not repository:
        raise InputError(f"timm:{name} has no weights on the hub; give `file:` (.safetensors), or timm:{name}:random")
    from huggingface_hub import hf_hub_download

    place, _, revision = repository.partition("@")
    try:
        return str(hf_hub_download(place, "model.safetensors", revision=revision or None))
    except Exception as error:  # no network has many names
        raise InputError(
            f"weights of timm:{name} cannot be fetched ({type(error).__name__}). Download model.safetensors of "
            f"{repository} yourself and name it in the study as `file:` beside `weights:`"
        ) from error


def refuse_other_files(path: str | os.PathLike[str]) -> None:
    """Refuse what is no weight file of torch.

    Raises
    ------
    InputError
        If there is no such file, or its ending is none of ``.safetensors``, ``.pth``, ``.pt``, ``.bin``.
    """
    if not Path(path).is_file():
        raise InputError(
            f"weights {os.fspath(path)!r}: there is no such file; paths are taken from the folder of the study file"
        )
    if Path(path).suffix.lower() not in SAFE_FILES:
        raise InputError(f"weights {os.fspath(path)!r}: expected a file that ends in {', '.join(SAFE_FILES)}")
