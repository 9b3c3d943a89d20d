"""Results of scoring as a store of their own: chunks of images, each done once and kept, so that a stopped run goes on.

The store lies beside the study's, named by a digest of the study's state and of the images, and goes when the table is
delivered.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from distspc.io.files import hex_digest
from distspc.scoring.columns import added_columns
from distspc.scoring.images import NewImage
from distspc.scoring.reference import Reference
from distspc.store.group import Group
from distspc.store.store import Store
from distspc.tasks import ranges

LAST = "norm"
"""Variable that is written last: its file says that a layer of a chunk of images is done."""


def results_folder(study: Path, reference: Reference, images: Sequence[NewImage]) -> Path:
    """Folder of the results of these images against this study, beside its store."""
    content = [reference.fingerprint, [one.layer for one in reference.layers], [one.digest for one in images],
               [one.category for one in images], added_columns(reference.store, _labels(reference))]  # fmt: skip
    digest = hex_digest(json.dumps(content, sort_keys=True).encode())[:16]
    return study.with_name(f"{study.stem}-scores") / f"{digest}.zarr"


def _labels(reference: Reference) -> list[str]:
    return [one.layer for one in reference.layers]


def allocate(results: Store, reference: Reference, images: Sequence[NewImage], chunk: int) -> Group:
    """Make room for the results, or take what a stopped run has left; returns their group."""
    group, labels = results.new_images, _labels(reference)
    added = added_columns(reference.store, labels)
    names = list(dict.fromkeys(name for some in added.values() for name in some))
    coords: dict[str, Any] = {
        "layer": [*labels, *([""] if "" in added else [])],
        "image": [image.name for image in images],
        "neighbour": reference.distance.n_neighbours,
    }
    coords |= {"seed": list(reference.seeds)} if reference.seeds else {}
    coords |= {"column": names} if names else {}
    group.allocate(coords=coords, chunks={"image": chunk, "column": 1}, recipe={"study": reference.fingerprint})
    return group


def image_ranges(group: Group) -> tuple[tuple[int, int], ...]:
    """Ranges of images of the tasks: as the results were allocated, by this run or one that was stopped."""
    return ranges(group.sizes["image"], group.chunks(LAST)["image"])


def missing_layers(group: Group) -> dict[int, list[str]]:
    """Layers that are missing, by number of the range of images."""
    done, labels = group.done(LAST), group.labels("layer")
    missing = {i: [label for label, there in zip(labels, done[:, i], strict=True) if not there]
               for i in range(done.shape[1])}  # fmt: skip
    return {i: some for i, some in missing.items() if some}


@dataclass(frozen=True)
class LayerResults:
    """What some images have at a layer.

    Attributes
    ----------
    variables
        Values by name of variable: (images,) or (images, neighbour).
    errors
        Reconstruction error (images,) by seed.
    added
        Values (images,) by column of other measures.
    """

    variables: Mapping[str, np.ndarray]
    errors: Mapping[int, np.ndarray]
    added: Mapping[str, np.ndarray]


def write_layer(group: Group, layer: str, images: tuple[int, int], found: LayerResults) -> None:
    """Write the results of some images at a layer, `LAST` last."""
    at: dict[str, Any] = {"layer": group.position("layer", layer), "image": slice(*images)}
    for seed, errors in found.errors.items():
        group.write("error", errors, seed=group.position("seed", seed), **at)
    for column, values in found.added.items():
        group.write("value", values, column=group.position("column", column), **at)
    for name in sorted(found.variables, key=lambda name: name == LAST):
        group.write(name, found.variables[name], **at)


def read_layer(group: Group, layer: str) -> LayerResults:
    """Read the results of all images at a layer; NaN and -1 where there are none."""
    at = group.position("layer", layer)
    names = ("distance", "neighbour_index", LAST)
    return LayerResults(
        {name: group.read(name, layer=at) for name in names},
        _by_label(group, "error", "seed", at),
        _by_label(group, "value", "column", at),
    )


def _by_label(group: Group, name: str, dim: str, layer: int) -> dict[Any, np.ndarray]:
    """Values of all images at a layer by the labels of another dimension; none where there is no such variable."""
    if not group.has(name):
        return {}
    return dict(zip(group.labels(dim), group.read(name, layer=layer), strict=True))


def remove_results(path: Path) -> None:
    """Remove results, and the folder of all where it is empty then."""
    shutil.rmtree(path, ignore_errors=True)
    Path(f"{path}.lock").unlink(missing_ok=True)
    if path.parent.is_dir() and not any(path.parent.iterdir()):
        path.parent.rmdir()
