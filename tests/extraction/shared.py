"""What the tests of this folder share."""

import cv2
import dask
import h5py
import numpy as np
import PIL.Image

from distspc.extraction import build as activations
from distspc.extraction import network, network_spec
from distspc.extraction.backends.base import random_kernel
from distspc.images import inventory, listing
from distspc.layers import LAYERS
from distspc.store.store import Store

N_TARGETS, N_FILLERS = 66, 5


SMALL_LAYERS = ("edges", "top")


def listed(study):
    return listing.list_images(study / "Images" / "Targets") + listing.list_images(
        study / "Images" / "Fillers", "filler"
    )


def run(tasks):
    return dask.compute(*tasks, scheduler="synchronous")


def scan(study, **options):
    """Scan and write; returns the number of tasks."""
    store, sources = study / "s.zarr", listed(study)
    tasks = inventory.scan_images(Store(store), sources, **options)
    inventory.write_images(Store(store), sources, run(tasks), **options)
    return len(tasks)


def extract(study, model, layers=SMALL_LAYERS, **options):
    return activations.extract_activations(study / "s.zarr", layers=layers, weights=model, **options)


def expected(study, model, layer):
    """The layer of every image, one image at a time."""
    files = [s.file for s in listed(study)]
    net = network.load_network(network_spec.resolve_network(model, layers=SMALL_LAYERS))
    return np.concatenate([net.activations(by_hand(file)[None])[layer].reshape(1, -1) for file in files])


def by_hand(file):
    with PIL.Image.open(file) as image:
        return cv2.resize(np.asarray(image.convert("RGB")), (10, 12))


ALL = tuple(LAYERS)


WIDTHS = {1: (64, 64), 2: (128, 128), 3: (256,) * 3, 4: (512,) * 3, 5: (512,) * 3}


def vgg16_weights(n_classes=1365, *, seed=0, draw=True):
    """Kernels and biases of VGG-16 by layer, in the order of the network."""
    found, n_in = {}, 3
    shapes = {f"block{b}_conv{i + 1}": (3, 3, 0, width) for b, ws in WIDTHS.items() for i, width in enumerate(ws)}
    shapes.update(fc1=(25088, 4096), fc2=(4096, 4096), predictions=(4096, n_classes))
    for name, shape in shapes.items():
        shape = (3, 3, n_in, shape[-1]) if len(shape) == 4 else shape
        n_in = shape[-1]
        fan_in = int(np.prod(shape[:-1]))
        kernel = random_kernel(shape, fan_in, seed=seed, name=name) if draw else np.zeros(shape, np.float32)
        found[name] = (kernel, np.zeros(shape[-1], np.float32))
    return found


def vgg16_by_hand(image, w):
    """VGG-16 written out: 3 x 3 convolutions with zeros around, ReLU, 2 x 2 maxima, dense layers. One image."""
    found = {}
    x = image.astype(np.float32)
    for block, widths in WIDTHS.items():
        for i in range(len(widths)):
            kernel, bias = w[f"block{block}_conv{i + 1}"]
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            x = sum(padded[r : r + x.shape[0], c : c + x.shape[1]] @ kernel[r, c] for r in range(3) for c in range(3))
            x = np.maximum(x + bias, 0)
        x = np.maximum.reduce([x[r::2, c::2] for r in (0, 1) for c in (0, 1)])
        found[f"block{block}_pool"] = x
    x = x.reshape(-1)
    for layer in ("fc1", "fc2"):
        x = np.maximum(x @ w[layer][0] + w[layer][1], 0)
        found[layer] = x
    return found


def assert_close(found, wanted):
    """Equal to within float32 rounding of a long sum."""
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=2e-5 * float(np.abs(wanted).max()))


def write_legacy(path, content, *, nested=False, old_names=False):
    """Write weights as Keras 2 did: names as byte strings in attributes, one group a layer, empty ones included.

    Arrays given as shapes take no room in the file: HDF5 fills them with zeros when they are read.
    """
    with h5py.File(path, "w") as file:
        group = file.create_group("model_weights") if nested else file
        order = ["input_1", *(name for name in content)]
        for at, name in (("block1_conv2", "block1_pool"), ("block5_conv3", "block5_pool")):
            if at in order:
                order.insert(order.index(at) + 1, name)
        group.attrs["layer_names"] = np.array([name.encode() for name in order])
        group.attrs["backend"] = b"tensorflow"
        group.attrs["keras_version"] = b"2.0.6"
        for layer in order:
            inner = group.create_group(layer)
            arrays = content.get(layer, ())
            ends = ("_W_1:0", "_b_1:0") if old_names else ("/kernel:0", "/bias:0")
            names = [f"{layer}{end}" for end in ends[: len(arrays)]]
            inner.attrs["weight_names"] = np.array([name.encode() for name in names]) if names else np.zeros(0)
            for name, values in zip(names, arrays, strict=True):
                if isinstance(values, tuple):
                    inner.create_dataset(name, shape=values, dtype="f4")
                else:
                    inner.create_dataset(name, data=values)
    return path


def _legacy_shapes():
    found, n_in = {}, 3
    for block, widths in WIDTHS.items():
        for i, width in enumerate(widths):
            found[f"block{block}_conv{i + 1}"] = ((3, 3, n_in, width), (width,))
            n_in = width
    dense = {"fc1": (25088, 4096), "fc2": (4096, 4096), "predictions": (4096, 1365)}
    return {**found, **{name: (shape, shape[1:]) for name, shape in dense.items()}}


LEGACY_SHAPES = _legacy_shapes()
