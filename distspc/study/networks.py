"""The networks of a study: one whose layers go by their own names, or several that have names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from distspc.errors import InputError, StoreMismatchError
from distspc.extraction.engines import keep_engine
from distspc.extraction.network_spec import NetworkSpec, resolve_network
from distspc.extraction.options import ExtractionOptions
from distspc.layers import layer_label, split_layer
from distspc.store.store import Store


@dataclass(frozen=True)
class StudyNetwork:
    """A network that the images of a study go through.

    Attributes
    ----------
    model : str
        Its name in the study; empty where it is the only one.
    options : ExtractionOptions
        Its settings.
    layers : tuple of str
        Its layers, by their own names.
    keep : tuple of str
        Those whose activations stay in the store; the others are given back once what rests on them is done.
    disk : int or None
        Bytes that its activations may take at a time; None: as few as can be.
    reuse : tuple of Path
        Other stores whose activations of the same images and network are taken.
    """

    model: str
    options: ExtractionOptions
    layers: tuple[str, ...]
    keep: tuple[str, ...] = ()
    disk: int | None = None
    reuse: tuple[Path, ...] = ()

    @property
    def labels(self) -> tuple[str, ...]:
        """What its layers go by in the study."""
        return tuple(layer_label(layer, self.model) for layer in self.layers)

    def with_stored_engine(self, store: Store) -> Self:
        """Return the network with the engine that made what a store, or those to be reused, hold of VGG-16.

        Parameters
        ----------
        store
            The store of the study. It may not be there.
        """
        own = [label for label in store.layers() if split_layer(label)[1] == self.model]
        groups = [store.layer(label) for label in sorted(own, key=lambda label: label not in self.labels)]
        groups += [other.layer(label) for other in map(Store, self.reuse) for label in other.layers()]
        recipes = (group.attributes.get("recipe", {}) for group in groups)
        return replace(self, options=keep_engine(self.options, recipes))

    def own_names(self, labels: Sequence[str]) -> list[str]:
        """Names of those of some layers of the study that are its own."""
        return [split_layer(label)[0] for label in labels if label in self.labels]

    def titled(self, text: str) -> str:
        """Text with the name that the network has."""
        return f"{text} {self.model}".rstrip()

    def resolved(self, layers: Sequence[str] | None = None) -> NetworkSpec:
        """Settle the network (see `distspc.extraction.network_spec.resolve_network`).

        Parameters
        ----------
        layers
            Layers, by their own names; all by default.

        Raises
        ------
        InputError
            If a setting, a layer or the weights cannot be used; says of which of several networks.
        """
        with self.named_errors():
            return resolve_network(layers=self.layers if layers is None else layers, **self.options.network)

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Inside this block errors of the user's input say of which of several networks they are."""
        try:
            yield
        except StoreMismatchError:
            raise
        except InputError as error:
            if not self.model:
                raise
            raise InputError(f"model {self.model}: {error}") from error
