"""The one Zarr store of a study: the handle that is passed on in place of its path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import zarr

from distspc.errors import InputError
from distspc.layers import folder_name, layer_label, layer_of_folder, models_of, split_layer
from distspc.store.format import schema
from distspc.store.format.layout import read_attributes
from distspc.store.group import Group

if TYPE_CHECKING:
    import xarray as xr


class Store(os.PathLike[str]):
    """A study's store, there or to be made; gives its groups by name.

    It pickles as its path, so tasks carry it to workers as cheaply as they would the path, and it is a path to
    whatever wants one.

    Parameters
    ----------
    path
        Folder of the store, or a store.

    Examples
    --------
    >>> store = Store("study.zarr")
    >>> store.distances, store.layer("fc2")
    (Group('study.zarr', 'distances'), Group('study.zarr', 'activations/fc2'))
    """

    __slots__ = ("path",)
    model = ""

    def __init__(self, path: schema.StorePath) -> None:
        self.path = Path(path)

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Store) and self.path == other.path

    def __hash__(self) -> int:
        return hash(self.path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Store, (str(self.path),)

    def __getitem__(self, name: str) -> Group:
        return Group(self.path, name)

    @property
    def images(self) -> Group:
        """The images that can be used, in order."""
        return self[schema.IMAGES]

    @property
    def skipped(self) -> Group:
        """The images that cannot be used, and why."""
        return self[schema.SKIPPED]

    @property
    def listing(self) -> Group:
        """The images that workers are looking at; gone once they have."""
        return self[schema.LISTING]

    def layer(self, name: str) -> Group:
        """Return the activations of a layer."""
        return self[f"{schema.ACTIVATIONS}/{folder_name(name)}"]

    def scaling(self, layer: str) -> Group:
        """Return the moments of a layer's features, by which they are standardised."""
        return self[f"{schema.SCALING}/{folder_name(layer)}"]

    def of_model(self, model: str) -> Store:
        """The store as one network of several has it, whose layers go by their own names; itself without a name."""
        return _ModelStore(self, model) if model else self

    @property
    def distances(self) -> Group:
        """Distances of the targets to their nearest neighbours, by layer."""
        return self[schema.DISTANCES]

    @property
    def reconstruction(self) -> Group:
        """Reconstruction errors by layer and seed, and how the trainings went."""
        return self[schema.RECONSTRUCTION]

    def measure(self, word: str) -> Group:
        """Return the columns of a further measure, by its word in the study file."""
        return self[f"{schema.MEASURES}/{word}"]

    def reference(self, word: str, layer: str) -> Group:
        """Return what a further measure compares new images with at a layer."""
        return self[f"{schema.REFERENCES}/{word}.{folder_name(layer)}"]

    @property
    def gram(self) -> Group:
        """Inner products of the targets' activations, by layer."""
        return self[schema.GRAM]

    @property
    def predicted(self) -> Group:
        """What linear readouts of each layer predict of the scores of targets left out."""
        return self[schema.PREDICTED]

    @property
    def readout(self) -> Group:
        """How well scores are predicted: from activations, from all measures, and by what others predicted."""
        return self[schema.READOUT]

    @property
    def new_images(self) -> Group:
        """Images that are scored against a study, in a store of their own."""
        return self[schema.NEW_IMAGES]

    @property
    def scores(self) -> Group:
        """Scores of the targets."""
        return self[schema.SCORES]

    @property
    def relations(self) -> Group:
        """Correlations of measures with scores."""
        return self[schema.RELATIONS]

    @property
    def models(self) -> Group:
        """Multiple regressions of scores on measures."""
        return self[schema.MODELS]

    @property
    def comparisons(self) -> Group:
        """Comparisons of dependent correlations."""
        return self[schema.COMPARISONS]

    def exists(self) -> bool:
        """Whether there is a store."""
        return (self.path / "zarr.json").exists()

    @property
    def attributes(self) -> dict[str, Any]:
        """Facts about the whole store; empty where there is none yet."""
        return read_attributes(self.path) if self.exists() else {}

    def set_attributes(self, **values: Any) -> None:
        """Keep small facts about the whole store, such as when its report was made."""
        zarr.open_group(str(self), mode="r+").attrs.update(values)

    def layers(self) -> list[str]:
        """Names of the layers that have activations, in the order of the alphabet."""
        found = [layer_of_folder(path.name) for path in (self.path / schema.ACTIVATIONS).glob("*/")]
        return sorted(layer for layer in found if self.layer(layer).exists())

    def groups(self) -> list[str]:
        """Names of all groups that hold arrays, those of each layer included."""
        # By name, not by walking: a store of a million images has millions of chunk files.
        layers = [f"{group}/{path.name}" for group in schema.NESTED for path in (self.path / group).glob("*/")]
        names = [name for name in schema.GROUPS if name not in schema.NESTED] + layers
        return sorted(name for name in names if next((self.path / name).glob("*/zarr.json"), None) is not None)

    def open(self) -> xr.DataTree:
        """Open the whole store as an xarray DataTree, lazily (Dask arrays).

        Where layers are of several networks, ``model`` stands beside ``layer``.

        Raises
        ------
        InputError
            If there is no store.
        """
        import xarray as xr

        if not self.exists():
            raise InputError(f"{self} is not a store yet: run the study first")
        tree = xr.open_datatree(str(self), engine="zarr", chunks={}, consolidated=False)
        further = (
            [f"{schema.MEASURES}/{word}" for word in tree[schema.MEASURES].children] if schema.MEASURES in tree else []
        )
        for name in (*(name for name in schema.WITH_LAYERS if name in tree.children), *further):
            tree[name].dataset = _with_models(tree[name].to_dataset())
        return tree


def _with_models(results: xr.Dataset) -> xr.Dataset:
    """Results with the model of each layer beside it, where layers are of several networks."""
    if "layer" not in results.variables:
        return results
    labels = [str(label) for label in results["layer"].to_numpy()]
    models = [split_layer(label)[1] for label in labels]
    return results.assign_coords(model=(results["layer"].dims, models)) if models_of(labels) else results


class _ModelStore(Store):
    """A store whose layers are those of one network of several."""

    __slots__ = ("model",)

    def __init__(self, path: schema.StorePath, model: str) -> None:
        super().__init__(path)
        self.model = model

    def __repr__(self) -> str:
        return f"{super().__repr__()}.of_model({self.model!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ModelStore) and (self.path, self.model) == (other.path, other.model)

    def __hash__(self) -> int:
        return hash((self.path, self.model))

    def __reduce__(self) -> tuple[Any, ...]:
        return _ModelStore, (str(self.path), self.model)

    def layer(self, name: str) -> Group:
        return super().layer(layer_label(name, self.model))

    def scaling(self, layer: str) -> Group:
        return super().scaling(layer_label(layer, self.model))
