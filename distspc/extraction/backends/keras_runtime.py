"""Keras and TensorFlow, imported with their threads, memory and logging set."""

from __future__ import annotations

import functools
import importlib
import logging
import multiprocessing
import os
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from distspc.errors import InputError

logger = logging.getLogger(__name__)

EXTRAS = ("pandas", "matplotlib", "sklearn", "IPython")
"""What Keras imports where it is there, for data frames, plots and wrappers, and does without where it is not."""


def import_keras(n_threads: int | None) -> Any:
    """Import Keras with its backend's threads, memory and talk set on purpose."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: take GPU memory as it is needed
    try:
        with _quiet(), hidden(EXTRAS if _in_worker() else ()):
            import keras
    except ImportError as error:
        wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(f"Keras backend {wanted!r} is not installed ({error}); see KERAS_BACKEND") from error
    if keras.backend.backend() == "tensorflow":
        _prepare_tensorflow(n_threads)
    elif keras.backend.backend() == "torch" and n_threads is not None:
        importlib.import_module("torch").set_num_threads(n_threads)
    return keras


def _in_worker() -> bool:
    """Whether another process, such as Dask's nanny, started this one to work for it."""
    return multiprocessing.parent_process() is not None


@contextmanager
def hidden(packages: Collection[str]) -> Iterator[None]:
    """Inside this block this thread does not find packages that are not imported yet; other threads do.

    Those of `EXTRAS` take as long to import as the rest of Keras and TensorFlow.
    """
    thread = threading.get_ident()

    class Hiding:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            if name in packages and threading.get_ident() == thread:
                raise ModuleNotFoundError(f"{name} is not needed here", name=name)

    finder: Any = Hiding()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what TensorFlow's C++ says while it is imported (no setting of its own does); the rest is passed on."""
    try:
        kept = os.dup(2)
    except OSError:  # no standard error
        yield
        return
    with tempfile.TemporaryFile() as captured_stderr:
        os.dup2(captured_stderr.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            captured_stderr.seek(0)
            passed_on = [
                line
                for line in captured_stderr
                if not line.startswith((b"I0000", b"WARNING: All log messages before absl"))
            ]
            sys.stderr.write(b"".join(passed_on).decode(errors="replace"))


@functools.lru_cache(maxsize=1)
def _prepare_tensorflow(n_threads: int | None) -> None:
    import tensorflow as tf

    try:
        for device in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(device, True)
        if n_threads is not None:
            tf.config.threading.set_intra_op_parallelism_threads(n_threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError as error:  # this process has run TensorFlow before: its settings stay
        logger.debug("TensorFlow keeps its settings: %s", error)
