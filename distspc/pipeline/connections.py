"""The clusters of a run: one at a time, opened when first needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from distributed import Client

    from distspc.pipeline.run import Study
    from distspc.study.file import StageName


DEFAULT_PROFILE = "local"


class Clusters:
    """Gives each stage its client; one cluster at a time, opened when first needed, closed on exit.

    A stage runs where ``--profile`` says, else where the study's ``profiles`` say, else locally.
    """

    def __init__(
        self,
        study: Study,
        profile: str | None,
        overrides: Sequence[str],
        *,
        name: str,
        performance_report: Path | None = None,
    ) -> None:
        self.study, self.profile, self.overrides, self.name = study, profile, overrides, name
        self.performance_report = performance_report
        self._open: str | None = None
        self._n_reports = 0
        self._stack = ExitStack()
        self._client: Client | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: Any) -> None:
        self._stack.__exit__(*exception)

    def __call__(self, stage: StageName) -> Client:
        """The client for a stage."""
        from distspc.deployment.dashboard import dashboard_lines
        from distspc.deployment.session import deploy

        wanted = self.study.profiles.get(stage, DEFAULT_PROFILE) if self.profile is None else self.profile
        if self._client is not None and wanted == self._open:
            return self._client
        self._stack.close()
        logs = self.study.store.parent / "distspc-logs"
        self._client = self._stack.enter_context(
            deploy(wanted, overrides=self.overrides, name=f"{self.name}-{stage}", log_directory=logs)
        )
        self._open = wanted
        if self.performance_report is not None:
            from distributed import performance_report

            self._stack.enter_context(performance_report(filename=str(self._next_report(self.performance_report))))
        for line in dashboard_lines(self._client):
            sys.stderr.write(f"{line}\n")
        return self._client

    def _next_report(self, path: Path) -> Path:
        """Each cluster of a run writes a report of its own: FILE.html, FILE-2.html, ..."""
        self._n_reports += 1
        return path if self._n_reports == 1 else path.with_name(f"{path.stem}-{self._n_reports}{path.suffix}")
