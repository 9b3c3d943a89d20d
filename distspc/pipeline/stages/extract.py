"""The activations: images looked at and passed through the network, or activations that somebody has taken over.

Where the study scales features, their moments over the images are computed as soon as the activations are there.
"""

from __future__ import annotations

import logging
import math
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.assemble import Lost
from distspc.extraction.engines import refuse_absent
from distspc.extraction.files.weights import DOWNLOADS, is_fetched
from distspc.extraction.imported.image_table import listed_digest
from distspc.extraction.reuse import OtherStore, refuse_no_store
from distspc.images.inventory import images_digest, refuse_other_images
from distspc.layers import layer_label
from distspc.messages import counted
from distspc.pipeline.compute import run_on_all_workers
from distspc.pipeline.needs.sizes import (
    engine,
    forward_flop,
    forward_memory,
    n_features,
    refuse_unpooled_tokens,
)
from distspc.pipeline.needs.work import INTERPRETER_NBYTES, Load, Loads, Setting
from distspc.pipeline.stages.base import Comparison, Run, Seeds, usable_layers
from distspc.pipeline.stages.by_layer import LayerStage
from distspc.store.format import schema
from distspc.store.format.chunks import FEATURES_PER_CHUNK, IMAGES_PER_CHUNK
from distspc.store.format.direct import BLOCK_NBYTES
from distspc.store.notices import Notice, keep_notices
from distspc.store.store import Store
from distspc.tasks import refusals_as_values

if TYPE_CHECKING:
    from dask.delayed import Delayed
    from distributed import Client

    from distspc.study.file import StageName, StudyFile
    from distspc.study.images import StudyImages
    from distspc.study.networks import StudyNetwork

logger = logging.getLogger(__name__)


class Extract(LayerStage):
    """Activations of all layers, in one pass over the images."""

    name = "extract"
    makes = (schema.IMAGES, schema.SKIPPED, schema.LISTING, schema.ACTIVATIONS, schema.SCALING)
    rests_on = ("extract",)
    urgency = 2

    def check(self, study: StudyFile, images: StudyImages, stages: Sequence[StageName]) -> None:
        """Look for the activations, or for the images and the weights."""
        if study.activations is not None:
            from distspc.extraction.imported import matrix_import
            from distspc.extraction.imported.npy_import import count_activations

            if study.activations.folder is not None:
                count_activations(study.activations.folder, study.layers)
            else:
                matrix_import.check(matrix_import.MatrixSet(images.listed, study.activations.matrices(study.layers)))
        else:
            n_images = len(images.listed)
            for network in study.networks:
                with network.named_errors():
                    refuse_no_store(_named_stores(study.stored, network), study.stored)
                _check_network(study, network, n_images)

    def comparisons(self, study: StudyFile, images: StudyImages) -> Iterator[tuple[str, Comparison]]:
        """Compare the images, and each layer's network and settings."""
        store = study.stored
        if store.images.exists():
            yield "", partial(_compare_images, study, images)
        for layer in study.layers:
            if store.layer(layer).exists():
                yield layer, partial(_compare_activations, study, layer)

    def layer_by_layer(self, study: StudyFile) -> bool:
        """Imported ones; images go through the network for all layers at once, and moments are of all layers."""
        return study.activations is not None and study.scaling == "none"

    def layers(self, run: Run) -> Sequence[str]:
        """All of them: imported ones can be taken over each on its own."""
        return run.study.layers

    def needs_activations(self, run: Run, layer: str) -> bool:
        """Whether moments of the layer's features are missing that the study needs."""
        from distspc.store.scaling import has_moments

        return run.study.scaling != "none" and not has_moments(run.store, layer)

    def label(self, study: StudyFile) -> str:
        """Name of the work in progress reports."""
        return "extract" if study.activations is None else "import activations"

    def groups(self, study: StudyFile, layers: Sequence[str]) -> Sequence[str]:
        """Groups that hold the activations of some layers."""
        return [study.stored.layer(layer).name for layer in layers]

    def missing(self, run: Run, layer: str) -> Seeds:
        """Whether a layer is missing, whole or in part ("": any)."""
        return [None] if self._missing_layers(run, [layer] if layer else run.study.layers) else []

    def _missing_layers(self, run: Run, layers: Sequence[str]) -> Sequence[str]:
        study = run.study
        if study.activations is not None:
            importer, source = _importer(run)
            return importer.missing(run.store, source, layers)
        if not run.store.images.exists():
            return layers
        found = {layer for one in study.networks for layer in _missing_of(run.store, one, one.own_names(layers))}
        return [layer for layer in layers if layer in found]

    def prepare(self, run: Run, layer: str, plan: Any = None) -> None:
        """Allocate activations; of imported ones, write the image table too."""
        study, layers = run.study, [layer] if layer else run.study.layers
        for name in self._missing_layers(run, layers):
            run.store.scaling(name).remove()  # of activations that are to be made
        if study.activations is not None:
            importer, source = _importer(run)
            importer.prepare(run.store, source, layers)
        else:
            self._prepare_networks(run, layers)

    def _prepare_networks(self, run: Run, layers: Sequence[str]) -> None:
        from distspc.extraction import build

        for network in run.study.networks:
            own = network.own_names(layers)
            if own:
                with network.named_errors():
                    build.prepare(run.store.of_model(network.model), own, network.options, _others(run, network))

    def tasks(self, run: Run, layer: str, missing: Seeds, plan: Any) -> Mapping[int | str | None, list[Delayed]]:
        """Build the tasks that take a layer over."""
        importer, source = _importer(run)
        return {None: importer.tasks(run.store, source, [layer])}

    def run(self, run: Run) -> None:
        """Take activations over, layer by layer; or look at the images, then extract all layers in one pass."""
        if run.study.activations is not None:
            super().run(run)
        else:
            self._extract(run)
        if run.study.scaling != "none":
            self._compute_moments(run)

    def _extract(self, run: Run) -> None:
        """Pass the images through one network after the other, all layers of it in one pass."""
        if run.number == 0:
            self._take_inventory(run)
        layers = self._missing_layers(run, run.study.layers)
        if not layers:
            return
        run.require_writable()
        client = run.connect(self.name)
        self.prepare(run, "")
        run.written.update(self.groups(run.study, layers))
        for network in run.study.networks:
            if own := network.own_names(layers):
                self._pass_through(run, network, own, client)

    def _pass_through(self, run: Run, network: StudyNetwork, layers: Sequence[str], client: Client | None) -> None:
        """Pass the images through one network, for layers of it by their own names."""
        from distspc.extraction import build, forward

        others = _others(run, network)
        with refusals_as_values(), network.named_errors():
            tasks = build.tasks(run.store.of_model(network.model), layers, network.options, others)
        with network.named_errors():
            results = run.compute(tasks, client, network.titled(self.name), resource="GPU", gather=bool(others))
        _tell_lost(run, network, [lost for some in results for lost in some])
        run_on_all_workers(forward.release, client)

    def _compute_moments(self, run: Run) -> None:
        """Compute means and standard deviations of the features that lack them, over all images."""
        from distspc.extraction.moments import note_moments, prepare, tasks
        from distspc.store.scaling import has_moments

        missing = [layer for layer in usable_layers(run.study) if not has_moments(run.store, layer)]
        if not missing:
            return
        run.require_writable()
        client = run.connect(self.name)
        for layer in missing:
            prepare(run.store, layer)
        with refusals_as_values():
            built = [task for layer in missing for task in tasks(run.store, layer)]
        run.compute(built, client, "moments of features", gather=False)
        for layer in missing:
            note_moments(run.store, layer)

    def _take_inventory(self, run: Run) -> None:
        """Look at the images that are new or have changed, and list them in the store."""
        from distspc.images.inventory import note_folders, skipped_images, table_is_whole, write_extra_columns

        images, strict = run.study.images, run.strict and run.store.skipped.exists()
        if run.images.unchanged and table_is_whole(run.store) and not strict:
            write_extra_columns(run.store, run.images.listed)
        else:
            self._look_at_images(run)
        folders = [f for f in (images.targets, images.fillers) if f] if images and not images.table else []
        note_folders(run.store, folders)
        run.outcome.skipped = skipped_images(run.store)

    def _look_at_images(self, run: Run) -> None:
        from distspc.images.inventory import scan_images, write_images

        listed, rows = run.images.listed, []
        with refusals_as_values():
            tasks = scan_images(run.store, listed, strict=run.strict, others=run.before)
        if tasks:
            run.require_writable()
            client = run.connect(self.name)
            rows = run.compute(tasks, client, "scan images", resource="GPU", gather=True)
        write_images(run.store, listed, rows, strict=run.strict, others=run.before)

    def status(self, study: StudyFile) -> Iterator[tuple[str, int, int]]:
        """Chunks done and chunks in all, layer by layer, moments counting as one; 0 of 1 where nothing has begun."""
        from distspc.store.scaling import has_moments

        scaled = study.scaling != "none"
        for layer in study.layers:
            group = study.stored.layer(layer)
            if group.given_back:
                yield layer, 1, 1
                continue
            if not (group.exists() and group.has("activation")):
                yield layer, 0, 1
                continue
            done = group.done("activation")
            moments = scaled and bool(done.all()) and has_moments(study.stored, layer)
            yield layer, int(done.sum()) + moments, done.size + scaled

    def loads(self, study: StudyFile, setting: Setting) -> Loads:
        """All layers in one task a chunk of images; moments of features where these are scaled."""
        moments = [_moments_load(study, setting)] if study.scaling != "none" else []
        if study.activations is not None:
            n_tasks, moved = _n_chunks(setting) * len(study.layers), store_nbytes(study, setting.n_images)
            copies = 1 if study.activations.folder is not None else 3  # rows of a matrix may be float64
            held = max(_chunk_nbytes(study, [layer], copies) for layer in study.layers)
            taken = setting.load("extract", "", n_tasks, setting.worker_nbytes + held, 2 * moved, 0.0)
            return Loads(([taken, *moments],))
        for network in study.networks:
            refuse_unpooled_tokens(network, setting.n_images)
        passes = [_pass_load(study, network, setting) for network in study.networks]
        rates = setting.rates
        starts = [rates.start_onnx_s if engine(one) == "onnx" else rates.start_s for one in study.networks]
        return Loads(([*passes, *moments],), start_s=sum(starts))


def extracted_nbytes(study: StudyFile) -> int:
    """Memory of a worker that has run the networks of a study, if any, and given them back."""
    networks = study.networks if study.activations is None else ()
    # Packages stay, those of several networks beside each other; networks of one kind leave the same.
    left = {forward_memory(network).left for network in networks}
    return INTERPRETER_NBYTES + sum(max(nbytes - INTERPRETER_NBYTES, 0) for nbytes in left)


def _check_network(study: StudyFile, network: StudyNetwork, n_images: int) -> None:
    """Look whether a network has the layers, and whether it is said what is kept of tokens, before images are read.

    A network whose layers the store holds already is not loaded.
    """
    spec, store = network.resolved(), study.stored.of_model(network.model)
    own = {"architecture": spec.architecture, "weights": spec.digest}
    groups = [store.layer(layer) for layer in network.layers]
    recipes = [group.attributes.get("recipe", {}) if group.exists() else {} for group in groups]
    if not all(own.items() <= recipe.items() for recipe in recipes):
        if spec.engine == "onnx":
            refuse_absent()
        refuse_unpooled_tokens(network, n_images)


def _missing_of(store: Store, network: StudyNetwork, layers: Sequence[str]) -> list[str]:
    """What those layers of a network go by in the study that are missing, whole or in part."""
    from distspc.extraction import build

    with network.named_errors():
        missing = build.missing(store.of_model(network.model), layers, network.options) if layers else []
    return [layer_label(layer, network.model) for layer in missing]


def _pass_load(study: StudyFile, network: StudyNetwork, setting: Setting) -> Load:
    """All layers of a network in one task a chunk of images."""
    moved = _nbytes(study, network.labels, setting.n_images)
    memory = forward_memory(network)
    forward = memory.built + network.options.batch_size * memory.image + _chunk_nbytes(study, network.labels)
    others = extracted_nbytes(study) - max(memory.left, INTERPRETER_NBYTES)  # packages that other networks have left
    flop = (setting.n_images - setting.n_known) * forward_flop(network)
    moved += _nbytes(study, network.labels, setting.n_known)  # read where they are known
    return setting.load("extract", "", _n_chunks(setting), max(memory.building, forward) + others, moved, flop)


def _n_chunks(setting: Setting) -> int:
    return math.ceil(setting.n_images / IMAGES_PER_CHUNK)


def _chunk_nbytes(study: StudyFile, layers: Sequence[str], copies: int = 1) -> int:
    """Memory of a chunk of images of some layers, in some copies, and what writing takes.

    That is a chunk of features, compressed, and with its checksum, and two blocks on their way to the disk.
    """
    widest = max(n_features(study, layer) for layer in layers)
    writing = 3 * 4 * IMAGES_PER_CHUNK * min(widest, FEATURES_PER_CHUNK) + 2 * BLOCK_NBYTES
    return copies * _nbytes(study, layers, IMAGES_PER_CHUNK) + writing


def _moments_load(study: StudyFile, setting: Setting) -> Load:
    """Two passes over all activations; a task holds a chunk of them, as stored too, the one before and a few rows."""
    from distspc.extraction.moments import BLOCK_IMAGES

    chunks = sum(math.ceil(n_features(study, layer) / FEATURES_PER_CHUNK) for layer in study.layers)
    n_tasks = chunks * (2 * math.ceil(setting.n_images / BLOCK_IMAGES) + 2)
    memory = max(setting.worker_nbytes, extracted_nbytes(study)) + 4 * FEATURES_PER_CHUNK * (4 * IMAGES_PER_CHUNK + 8)
    return setting.load("extract", "", n_tasks, memory, 2.0 * store_nbytes(study, setting.n_images), 0.0)


def _others(run: Run, network: StudyNetwork) -> list[OtherStore]:
    """Stores whose activations are taken: of the study on other images, and those that it names."""
    before = [OtherStore(store, store.path.name, is_before=True) for store in run.before]
    return before + _named_stores(run.store, network)


def _named_stores(store: Store, network: StudyNetwork) -> list[OtherStore]:
    """Stores that a network of a study names, called by their path from the folder of the study's own."""
    return [OtherStore(Store(path), os.path.relpath(path, store.path.parent)) for path in network.reuse]


def _tell_lost(run: Run, network: StudyNetwork, lost: Sequence[Lost]) -> None:
    """Say and keep which activations could not be read elsewhere."""
    for layer in dict.fromkeys(one.layer for one in lost):
        counts = Counter[str]()
        for one in lost:
            counts.update({one.store: one.n_images} if one.layer == layer else {})
        notices = [
            Notice(
                f"{layer}: {counted(n, 'image', 'was')} computed, as activations in {store} are damaged.",
                warning=True,
            )
            for store, n in counts.items()
        ]
        keep_notices(run.store.of_model(network.model).layer(layer), "damaged", notices)
        for notice in notices:
            logger.warning("%s", notice.text)


def _importer(run: Run) -> tuple[Any, Any]:
    """The module that takes a study's activations over, and what its functions take between store and layers."""
    from distspc.extraction.imported import matrix_import, npy_import

    source = run.study.activations
    assert source is not None
    if source.folder is not None:
        return npy_import, source.folder
    return matrix_import, matrix_import.MatrixSet(run.images.listed, source.matrices(run.all_layers))


def store_nbytes(study: StudyFile, n_images: int) -> int:
    """Bytes of all activations before compression."""
    return _nbytes(study, study.layers, n_images)


def _nbytes(study: StudyFile, layers: Sequence[str], n_images: int) -> int:
    items = {"float16": 2, "float32": 4}
    return sum(n_features(study, layer) * n_images * items[study.network_of(layer).options.dtype] for layer in layers)


def _compare_images(study: StudyFile, images: StudyImages) -> None:
    """Compare the images; those that are not on disk any more cannot be, and results outlive them."""
    try:
        if study.activations is not None and study.images is not None:
            study.stored.images.refuse_other_recipe({"images": listed_digest(images.listed)})
        elif study.activations is not None:
            n_targets, n_fillers = images.counts
            if n_targets:
                study.stored.images.refuse_other_recipe({"images": f"imported:{n_targets}:{n_fillers}"})
        elif not images.unchanged:
            refuse_other_images(study.stored, images.listed)
    except StoreMismatchError:
        raise
    except InputError as error:
        logger.warning("the images in %s cannot be compared with the study's: %s", study.store, error)


def _compare_activations(study: StudyFile, layer: str) -> None:
    """Compare the settings of a layer's activations; weights that are not on this machine cannot be."""
    network, group = study.network_of(layer), study.stored.layer(layer)
    known = group.attributes.get("recipe", {})
    architecture = known.get("architecture")
    imported = architecture == "imported"
    if architecture is None and study.activations is not None:
        return  # nothing says where these came from; with images, a network's settings are due
    if imported or study.activations is not None:
        source = ("activations that were imported", "images")
        if imported != (study.activations is not None):
            was, now = source if imported else source[::-1]
            raise StoreMismatchError.of_settings(study.store, group.name, f"made from {was}, now from {now}")
        return
    if network.options.weights in DOWNLOADS and not is_fetched(network.options.weights):
        return
    try:
        spec = network.resolved(network.own_names([layer]))
    except InputError as error:
        logger.warning("the network of %s cannot be compared with the study's: %s", group.name, error)
        return
    made = {**spec.described(spec.layers[0]), "dtype": network.options.dtype, "images": images_digest(study.stored)}
    group.refuse_other_recipe(made)
