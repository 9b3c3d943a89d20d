"""What a store says about how it was made and what went wrong, as plain data for the report."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, NamedTuple

from distspc.extraction.engines import ENGINE_NAMES, engine_of
from distspc.extraction.preprocessing import IN_WORDS, in_words
from distspc.layers import by_model, models_of
from distspc.measures.registry import MEASURES
from distspc.messages import counted, format_duration
from distspc.store.format import schema
from distspc.store.group import Group
from distspc.store.rows import taken_in_words
from distspc.store.store import Store

PACKAGES = ("distspc", "numpy", "scipy", "tensorflow", "keras", "onnxruntime", "torch", "timm", "dask", "distributed",
            "zarr", "xarray", "pillow", "opencv-python-headless", "statsmodels", "scikit-learn")  # fmt: skip


class Stage(NamedTuple):
    """One stage as the page shows it: settings by name, and when its data were written."""

    name: str
    settings: dict[str, str]
    written: str


# ---------------------------------------------------------------------------------------------- how it was made


def flattened(recipe: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Settings of a recipe as text, nested ones with their path."""
    found: dict[str, str] = {}
    for key, value in recipe.items():
        name = f"{prefix}{key}".replace("_", " ").replace("-", " ")
        if isinstance(value, Mapping):
            found |= flattened(value, f"{name} ")
        elif value is not None and value not in ("", []):
            found[name] = _as_text(value)
    return found


def _as_text(value: Any) -> str:
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(str(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _recipe(group: Group) -> dict[str, str]:
    """Settings that made a group, as text; a word for the preprocessing is followed by what it means.

    Of activations the engine is among them.
    """
    recipe = group.attributes.get("recipe", {}) if group.exists() else {}
    found = flattened(recipe)
    if engine := engine_of(recipe):
        found["engine"] = ENGINE_NAMES[engine]
    if found.get("preprocessing") in IN_WORDS:
        found["preprocessing"] = in_words(found["preprocessing"])
    return found


def has_random_weights(store: Store) -> bool:
    """Whether the activations come from a network whose weights are random numbers."""
    recipes = [store.layer(layer).attributes.get("recipe", {}) for layer in store.layers()]
    return any(str(recipe.get("weights", "")).startswith("random") for recipe in recipes)


def stages(store: Store, layers: Sequence[str]) -> list[Stage]:
    """Return settings and times of every stage whose results are in the store."""
    made: list[Stage] = []
    for model, own in by_model(layers).items():
        made += _activations(store, own, f"Activations of {model}" if model else "Activations")
    groups = [(store.distances, "Distances"), (store.reconstruction, "Sparse coding")]
    groups += [(store.measure(word), _further_name(word)) for word in MEASURES]
    groups.append((store.relations, "Relations"))
    for group, name in groups:
        if group.exists():
            # Relations also remember the settings of the stages they rest on, which are shown with those.
            settings = {k: v for k, v in _recipe(group).items() if not k.startswith(("measures ", "layers"))}
            made.append(Stage(name, settings | _described(group), written([group])))
    return made


def _further_name(word: str) -> str:
    return word.replace("-", " ").capitalize()


def _described(group: Group) -> dict[str, str]:
    """Columns and source of a further measure."""
    measure = MEASURES.get(group.path.name) if group.name.startswith(f"{schema.MEASURES}/") else None
    if measure is None:
        return {}
    meaning = "; ".join(f"{one.name}: images with more {one.larger}" for one in measure.columns)
    return {"columns": meaning, "source": measure.source}


def _activations(store: Store, layers: Sequence[str], name: str) -> list[Stage]:
    """What the activations of the layers of a network have in common; nothing where there are none."""
    groups = [group for layer in layers if (group := store.layer(layer)).exists()]
    recipes = [_recipe(group) for group in groups]
    common = {k: v for k, v in recipes[0].items() if all(r.get(k) == v for r in recipes)} if recipes else {}
    return [Stage(name, common | _pooling(store, layers) | _taken(store, layers), written(groups))] if groups else []


def _taken(store: Store, layers: Sequence[str]) -> dict[str, str]:
    """How many images' activations were taken from other stores, by layer where it differs; empty where none were."""
    said = {layer: text for layer in layers if (text := taken_in_words(store.layer(layer)))}
    same = len(set(said.values())) == 1 and len(said) == len(layers)
    texts = [*said.values()][:1] if same else [f"{layer}: {text}" for layer, text in said.items()]
    return {"taken from other stores": "; ".join(texts)} if texts else {}


def _pooling(store: Store, layers: Sequence[str]) -> dict[str, str]:
    """What is kept of the layers' outputs, by layer where it differs; empty where none is pooled."""
    groups = {layer: store.layer(layer) for layer in layers}
    kept = {layer: _kept(group) for layer, group in groups.items() if group.exists()}
    texts = set(kept.values())
    if texts <= {"none"}:
        return {}
    return {"pooling": texts.pop() if len(texts) == 1 else ", ".join(f"{layer} {kept[layer]}" for layer in kept)}


def _kept(group: Group) -> str:
    word, n_prefix = _recipe(group).get("pooling", "none"), group.attributes.get("prefix_tokens", 0)
    return f"{word} (without {counted(n_prefix, 'prefix token')})" if n_prefix else word


def written(groups: Sequence[Group]) -> str:
    """When some groups were written, first to last, how long that is, and by which versions of distspc."""
    times = [time for group in groups if (time := group.written) is not None]
    if not times:
        return ""
    first, last = min(time[0] for time in times), max(time[1] for time in times)
    text = f"{first:%Y-%m-%d %H:%M:%S} to " + (
        f"{last:%H:%M:%S}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M:%S}"
    )
    versions = dict.fromkeys(one for group in groups if group.exists() for one in group.versions)
    return f"{text} UTC ({format_duration((last - first).total_seconds())}), by distspc {', '.join(versions)}"


def environment() -> dict[str, str]:
    """Versions of the software and the machine that wrote the report."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    found["system"] = (
        f"{platform.system()} {platform.machine()}, {counted(os.cpu_count() or 1, 'core')}" if sys.platform else ""
    )
    found["report"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return found


def facts(
    store: Store, n_targets: int, n_fillers: int, layers: Sequence[str], scores: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the counts at the top of the page."""
    networks = models_of(layers)
    counts = {"target": n_targets, "filler": n_fillers, **({"network": len(networks)} if networks else {})}
    counts["layer"] = len(layers)
    if store.reconstruction.exists():
        counts["seed"] = len(store.reconstruction.labels("seed"))
    counts["score"] = len(scores)
    return [(f"{n:,}", name if n == 1 else f"{name}s") for name, n in counts.items()]
