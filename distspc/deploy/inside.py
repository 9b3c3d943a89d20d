"""What a worker process sees of itself; runs on workers."""

from __future__ import annotations

from distspc.deploy.machine import worker_threads


def threads_in_use() -> dict[str, int]:
    """Threads that BLAS and TensorFlow use in this process, and the number the worker was told."""
    import numpy as np  # noqa: F401  (loads BLAS, so that threadpoolctl finds it)
    import tensorflow as tf
    import threadpoolctl

    tf.config.threading.set_intra_op_parallelism_threads(worker_threads())
    tf.linalg.matmul(tf.ones((8, 8)), tf.ones((8, 8)))
    blas = {pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"}
    return {
        "blas": max(blas),
        "tensorflow": tf.config.threading.get_intra_op_parallelism_threads(),
        "told": worker_threads(default=0),
    }
