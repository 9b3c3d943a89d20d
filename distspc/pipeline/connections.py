"""The clusters of a run: one at a time, opened when first needed."""

from __future__ import annotations

import importlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from distspc.pipeline.compute import planned_workers

if TYPE_CHECKING:
    from distributed import Client

    from distspc.pipeline.stages.base import Connect
    from distspc.study.file import StageName, StudyFile


logger = logging.getLogger(__name__)

DEFAULT_PROFILE = "local"


class ImportsAhead:
    """Imports modules in a thread while workers compute, so that what follows need not wait for them.

    Parameters
    ----------
    modules
        Their names; none that cannot be imported is an error here, but where it is used.
    """

    def __init__(self, modules: Sequence[str]) -> None:
        self.modules = tuple(modules)
        self._thread: threading.Thread | None = None

    def once_connected(self, connect: Connect) -> Connect:
        """Connect as before, and begin with the imports once there are workers."""

        def connected(stage: StageName) -> Client | None:
            client = connect(stage)
            if client is not None and self._thread is None:
                self._thread = threading.Thread(target=self._import, name="imports")
                self._thread.start()
            return client

        return connected

    def wait(self) -> None:
        """Wait until all is imported that has been begun."""
        if self._thread is not None:
            self._thread.join()

    def _import(self) -> None:
        for name in self.modules:
            try:
                importlib.import_module(name)
            except Exception as error:
                logger.debug("%s cannot be imported ahead: %s", name, error)


class Clusters:
    """Gives each stage its client; one cluster at a time, opened when first needed, closed on exit.

    A stage runs where `profile` says, else where the study's ``profiles`` say, else on `default`.

    Parameters
    ----------
    study
        The study.
    profile, overrides
        Where all stages run, as `distspc.deploy` takes them.
    name
        Of the run: clusters bear it and their stage's.
    default
        Profile of stages for which nothing says where they run; None: these get no client.
    performance_report
        File of Dask's own report.
    opened
        Called with every client as its cluster is opened.
    """

    def __init__(
        self,
        study: StudyFile,
        profile: str | None,
        overrides: Sequence[str],
        *,
        name: str,
        default: str | None = DEFAULT_PROFILE,
        performance_report: Path | None = None,
        opened: Callable[[Client], None] | None = None,
    ) -> None:
        self.study, self.profile, self.overrides, self.name = study, profile, overrides, name
        self.default, self.performance_report, self.opened = default, performance_report, opened
        self._open: str | None = None
        self._n_reports = 0
        self._stack = ExitStack()
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def profile_of(self, stage: StageName) -> str | None:
        """Profile that a stage runs on; None: in this process."""
        return self.study.profiles.get(stage, self.default) if self.profile is None else self.profile

    def has_gpu(self, stage: StageName) -> bool:
        """Whether a stage runs where there is a GPU, as far as its profile says."""
        from distspc.deployment.profile.reading import load_profile
        from distspc.deployment.profile.shape import gpu_ids, has_gpu

        profile = self.profile_of(stage)
        return bool(gpu_ids()) if profile is None else has_gpu(load_profile(profile, self.overrides))

    def __call__(self, stage: StageName) -> Client | None:
        """The client for a stage; None where it is to be computed in this process."""
        from distspc.deployment.session import deploy

        profile = self.profile_of(stage)
        if self._client is not None and profile == self._open:
            return self._client
        self._stack.close()
        self._client, self._open = None, profile
        if profile is None:
            return None
        self._check_workers(profile)
        logs = self.study.store.parent / "distspc-logs"
        self._client = self._stack.enter_context(
            deploy(profile, overrides=self.overrides, name=f"{self.name}-{stage}", log_directory=logs)
        )
        if self.performance_report is not None:
            from distributed import performance_report

            self._stack.enter_context(performance_report(filename=str(self._next_report(self.performance_report))))
        if self.opened is not None:
            self.opened(self._client)
        return self._client

    def _check_workers(self, profile: str) -> None:
        """Refuse a profile whose workers are too small for a stage that will run on it, before they are started."""
        from distspc.deployment.profile.reading import load_profile
        from distspc.deployment.profile.shape import worker_shape
        from distspc.pipeline.stages.registry import ON_CLUSTER, STAGES

        loaded = load_profile(profile, self.overrides)
        if loaded.kind == "address":  # its workers are there, and are asked
            return
        shape = worker_shape(loaded)
        workers = planned_workers(shape.n_workers, shape.cores, shape.memory_nbytes)
        for stage in ON_CLUSTER:
            if profile == (self.profile or self.study.profiles.get(stage, self.default)):
                STAGES[stage].check_workers(self.study, workers)

    def _next_report(self, path: Path) -> Path:
        """Each cluster of a run writes a report of its own: FILE.html, FILE-2.html, ..."""
        self._n_reports += 1
        return path if self._n_reports == 1 else path.with_name(f"{path.stem}-{self._n_reports}{path.suffix}")
