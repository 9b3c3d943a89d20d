"""What the tests of the measures share: a store, a measure computed in this process, and its columns."""

import dask

from distspc.measures import build
from distspc.measures.base import LIMITS
from distspc.measures.registry import ChosenMeasure
from distspc.store.store import Store
from distspc.testing.stores import make_store


def computed(path, given, *, layer="fc2", scaling="none", limits=LIMITS, **store):
    """Columns of a measure of a store made of `store` (see `make_store`); with the activations of the layer."""
    values = make_store(path, **store)
    return columns(path, given, layer=layer, scaling=scaling, limits=limits), values[layer].astype("float64")


def columns(path, given, *, layer="fc2", scaling="none", limits=LIMITS):
    """Columns of a measure of a store, computed where they are missing."""
    compute(path, given, layer=layer, scaling=scaling, limits=limits)
    group, chosen = Store(path).measure(ChosenMeasure.parse(given).word), ChosenMeasure.parse(given)
    at = {"layer": layer} if layer else {}
    return {one.name: group.load(one.name, **at)[one.name].to_numpy() for one in chosen.measure.columns}


def compute(path, given, *, layer="fc2", scaling="none", limits=LIMITS):
    """Compute a measure where it is missing; gives the number of tasks."""
    chosen, store = [ChosenMeasure.parse(given)], Store(path)
    wanted = build.missing(store, layer, chosen, scaling)
    build.prepare(store, layer, chosen, scaling)
    some = build.tasks(store, layer, chosen, scaling, wanted, limits=limits)
    tasks = [one for built in some.values() for one in built]
    dask.compute(*tasks, scheduler="synchronous")
    return len(tasks)
