"""Keras and TensorFlow, imported with their threads, memory and logging set."""

from __future__ import annotations

import functools
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from distspc.errors import InputError

logger = logging.getLogger(__name__)


def import_keras(n_threads: int | None) -> Any:
    """Import Keras with its backend's threads, memory and talk set on purpose."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX: take GPU memory as it is needed
    try:
        with _quiet():
            import keras
    except ImportError as error:
        wanted = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise InputError(f"Keras backend {wanted!r} is not installed ({error}); see KERAS_BACKEND") from error
    if keras.backend.backend() == "tensorflow":
        _prepare_tensorflow(n_threads)
    elif keras.backend.backend() == "torch" and n_threads is not None:
        importlib.import_module("torch").set_num_threads(n_threads)
    return keras


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
