"""The extraction stage: one forward pass per image gives all requested layers, written as whole chunks of the store.

One task extracts one chunk of images: it decodes ahead in threads while the device runs, and its memory is that of
the chunk, however many images there are. `import_activations` takes activations that somebody already has.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from distspc.errors import InputError
from distspc.extraction.assemble import assemble_chunks
from distspc.extraction.engines import keep_engine
from distspc.extraction.forward import extract_chunk
from distspc.extraction.network import layer_shapes, network_size
from distspc.extraction.network_spec import NetworkSpec, resolve_network
from distspc.extraction.options import STORAGE_DTYPES, Engine, ExtractionOptions, Precision, Preprocessing, StorageType
from distspc.extraction.pooling import Pooling, refuse_unpooled
from distspc.extraction.reuse import OtherStore, Recipes, find_donors, find_origins, group_chunks, stored_like, why_not
from distspc.images.inventory import images_digest
from distspc.store.activations import allocate_layers, missing_chunks, missing_layers, stored_shapes
from distspc.store.format.schema import StorePath
from distspc.store.notices import Notice, keep_notices
from distspc.store.rows import Donor, source_names
from distspc.store.store import Store
from distspc.tasks import task, task_key, tokenize

if TYPE_CHECKING:
    from dask.delayed import Delayed


logger = logging.getLogger(__name__)


def extract_activations(
    store: StorePath,
    *,
    layers: Sequence[str],
    weights: str = ExtractionOptions.weights,
    digest: str | None = ExtractionOptions.digest,
    preprocessing: Preprocessing = ExtractionOptions.preprocessing,
    batch_size: int = ExtractionOptions.batch_size,
    precision: Precision = ExtractionOptions.precision,
    dtype: StorageType = ExtractionOptions.dtype,
    seed: int = ExtractionOptions.seed,
    file: str | None = ExtractionOptions.file,
    pooling: Pooling | Mapping[str, Pooling] = ExtractionOptions.pooling,
    prefix_tokens: int | None = ExtractionOptions.prefix_tokens,
    engine: Engine | None = ExtractionOptions.engine,
) -> list[Delayed]:
    """Build the tasks that extract the activations that are missing.

    Parameters
    ----------
    store
        Path of a store with an image table.
    layers
        Wanted layers.
    weights, digest, preprocessing, precision, seed, file, pooling, prefix_tokens, engine
        The network, and what of its layers' outputs is kept (see `distspc.extraction.network_spec.resolve_network`).
    batch_size
        Images per forward pass; changes no value by more than rounding.
    dtype
        Stored type, ``float32`` or ``float16``.

    Returns
    -------
    list of Delayed
        One for each chunk of images; empty if all is there. Each gives its number of images.

    Raises
    ------
    StoreMismatchError
        If the store holds these layers from other images, weights or settings.
    InputError
        If a setting, a layer or the weights cannot be used, or a layer's output are tokens and no pooling is chosen.
    """
    store = Store(store)
    options = ExtractionOptions(
        weights, digest, preprocessing, batch_size, precision, dtype, seed, file, pooling, prefix_tokens, engine
    )
    options = keep_engine(options, (store.layer(one).attributes.get("recipe", {}) for one in store.layers()))
    wanted = missing(store, layers, options)
    if not wanted:
        return []
    prepare(store, layers, options)
    return tasks(store, wanted, options)


def tasks(
    store: Store, layers: Sequence[str], options: ExtractionOptions, others: Sequence[OtherStore] = ()
) -> list[Delayed]:
    """Build the tasks of layers that are prepared, one for each chunk of images that lacks any.

    Parameters
    ----------
    store, layers, options
        As `extract_activations`.
    others
        Stores whose activations are taken where they are of the same images, network and settings: tasks then give
        what they could not read there.
    """
    network, dtype = _network(layers, options), options.dtype
    wanted = missing_chunks(store, layers)
    used = {layer for names in wanted.values() for layer in names}
    network = replace(network, layers=tuple(layer for layer in layers if layer in used))
    if others or any(store.layer(layer).has("source") for layer in network.layers):
        return _assembling(store, network, wanted, options, others)
    token = tokenize(store, network, dtype)
    extract = task(extract_chunk)
    return [
        extract(store, network, names, i, options.batch_size, dtype, dask_key_name=task_key("extract", "", token, i))
        for i, names in wanted.items()
    ]


def _assembling(
    store: Store,
    network: NetworkSpec,
    wanted: Mapping[int, Sequence[str]],
    options: ExtractionOptions,
    others: Sequence[OtherStore],
) -> list[Delayed]:
    """Build the tasks that take rows of other stores, and compute the others."""
    donors = find_donors(store, _recipes(store, network, options), others)
    chunks = group_chunks(store, wanted, find_origins(store, donors), options.batch_size)
    token, assemble = tokenize(store, network, options.dtype, others), task(assemble_chunks)
    return [
        assemble(store, network, some, options.batch_size, options.dtype, dask_key_name=key)
        for some in chunks
        for key in [task_key("extract", "", token, some[0].chunk)]
    ]


def missing(store: Store, layers: Sequence[str], options: ExtractionOptions) -> list[str]:
    """Layers of which activations are missing, whole or in part; writes nothing.

    Raises
    ------
    StoreMismatchError, InputError
        As `extract_activations`.
    """
    recipes = _recipes(store, _network(layers, options), options)
    return [layer for layer in layers if missing_layers(store, [layer], recipes[layer])]


def prepare(store: Store, layers: Sequence[str], options: ExtractionOptions, others: Sequence[OtherStore] = ()) -> None:
    """Allocate layers; say and keep where the network gets another input than it was made for."""
    network = _network(layers, options)
    recipes = _recipes(store, network, options)
    donors = find_donors(store, recipes, others)
    shapes = stored_shapes(store, recipes) or stored_like(donors)
    if shapes is None:
        shapes = layer_shapes(network)
        n_images, item_nbytes = store.images.sizes["image"], np.dtype(options.dtype).itemsize
        refuse_unpooled(shapes, dict(network.pooling), n_images, item_nbytes)
    for layer, shape in shapes.items():
        sources = source_names(store.layer(layer), donors[layer])
        allocate_layers(store, {layer: shape}, recipes[layer], options.dtype, sources=sources)
    _keep_doubts(store, network)
    _keep_prefix(store, network, donors)
    _tell_unused(store, recipes, others)


def _network(layers: Sequence[str], options: ExtractionOptions) -> NetworkSpec:
    if options.dtype not in STORAGE_DTYPES:
        raise InputError(f"storage type {options.dtype!r} is not one of {', '.join(STORAGE_DTYPES)}")
    if options.batch_size < 1:
        raise InputError(f"batch size {options.batch_size} is not at least 1")
    return resolve_network(layers=layers, **options.network)


def _recipes(store: Store, network: NetworkSpec, options: ExtractionOptions) -> dict[str, dict[str, Any]]:
    """What makes the activations of each layer."""
    common = {"dtype": options.dtype, "images": images_digest(store)}
    return {layer: {**network.described(layer), **common} for layer in network.layers}


def _tell_unused(store: Store, recipes: Recipes, others: Sequence[OtherStore]) -> None:
    """Say and keep why nothing is taken of stores that the study names."""
    for layer, recipe in recipes.items():
        reasons = [why_not(store, layer, recipe, other) for other in others if not other.is_before]
        notices = [Notice(f"Nothing was taken: {reason}.", warning=True) for reason in reasons if reason]
        for notice in notices:
            logger.warning("%s", notice.text)
        keep_notices(store.layer(layer), "reuse", notices)


def _keep_prefix(store: Store, network: NetworkSpec, donors: Mapping[str, Sequence[Donor]]) -> None:
    """Keep the number of prefix tokens with layers whose tokens are pooled; the network knows it, or its shapes do."""
    for layer, word in network.pooling:
        if word in ("mean", "max") and "prefix_tokens" not in store.layer(layer).attributes:
            known = [donor.group.attributes.get("prefix_tokens") for donor in donors[layer][:1]]
            n_tokens = next((n for n in known if n is not None), None)
            n_tokens = network_size(network).prefix_tokens[layer] if n_tokens is None else n_tokens
            store.layer(layer).set_attributes(prefix_tokens=n_tokens)


def _keep_doubts(store: Store, recipe: NetworkSpec) -> None:
    """Say and keep where the network gets another input than it was made for."""
    of_model = f"model {store.model}: " if store.model else ""
    doubts = [Notice(of_model + text, warning=True) for text in recipe.doubts()]
    for doubt in doubts:
        logger.warning("%s", doubt.text)
    for layer in recipe.layers:
        keep_notices(store.layer(layer), "preprocessing", doubts)


def unflatten(activation: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """Give stored activations back their layer's shape.

    Parameters
    ----------
    activation
        (..., feature).
    shape
        Shape of the layer, (row, column, channel): attribute ``shape`` of group ``activations/<layer>``.

    Returns
    -------
    np.ndarray
        (..., *shape), a view where possible.

    Raises
    ------
    ValueError
        If the sizes do not match.

    Examples
    --------
    >>> unflatten(np.zeros((5, 25088)), (7, 7, 512)).shape
    (5, 7, 7, 512)
    """
    return np.reshape(activation, (*np.shape(activation)[:-1], *shape))
