"""What the tests of scoring share: studies of random activations whose images are files that can be scored again."""

import itertools
from pathlib import Path

import numpy as np
from PIL import Image

from distspc.io.files import digest_of
from distspc.pipeline.run import Study
from distspc.store.store import Store
from distspc.testing.stores import make_store

N_TARGETS, N_FILLERS = 12, 14
LAYERS = {"fc2": 40, "fc1": 30}
DUPLICATES = ((1, 3), (5, 20))
SETTINGS = {"units": 9, "codewords": 5, "batches": 3, "batch-size": 8, "sparsity": 0.01, "seeds": [0, 3]}


def write_image(path, number):
    """A tiny image that no other number has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((2, 2, 3), (number // 256, number % 256, 7), np.uint8)).save(path)
    return path


def study_of_files(folder, *, layers=LAYERS, **others):
    """A study of random activations in its store, and of an image file for each; nothing of it is computed."""
    make_store(folder / "s.zarr", n_targets=N_TARGETS, n_fillers=N_FILLERS, layers=layers, duplicates=DUPLICATES)
    group = Store(folder / "s.zarr").images
    files = [write_image(folder / "Images" / f"{image}.png", i) for i, image in enumerate(group.labels("image"))]
    group.write("digest", list(map(digest_of, files)))
    group.write("file", list(map(str, files)))
    content = {"store": "s.zarr", "activations": "A", "layers": list(layers), "reconstruction": SETTINGS}
    return Study.from_dict({**content, **others}, base=folder)


def files_of(study, images):
    """Files of some images of a study, in another folder and under other names."""
    ids, files = study.stored.images.labels("image"), study.stored.images.read("file").tolist()
    folder = study.store.parent / "again"
    copies = []
    for number, image in zip(itertools.count(), images):
        copies.append(folder / f"copy{number}.png")
        folder.mkdir(exist_ok=True)
        copies[-1].write_bytes(Path(files[ids.index(image)]).read_bytes())
    return copies
