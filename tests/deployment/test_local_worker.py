"""What a local worker process runs when it starts."""

import logging
import signal

from distspc.deployment.local_worker import dask_setup


def test_interrupts_and_heartbeats_of_the_end_are_left_to_the_command(caplog):
    log, before = logging.getLogger("distributed.worker"), signal.getsignal(signal.SIGINT)
    filters = list(log.filters)
    try:
        dask_setup(None)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        log.error("Failed to communicate with scheduler during heartbeat.")
        log.error("Unexpected exception during heartbeat. Closing worker.")
    finally:
        signal.signal(signal.SIGINT, before)
        log.filters[:] = filters
    assert [record.getMessage() for record in caplog.records] == [
        "Unexpected exception during heartbeat. Closing worker."
    ]
