"""From a profile to a Dask client: on this machine, through a batch queue, or at a scheduler that is there.

>>> from distspc.deploy import deploy
>>> with deploy("local") as client:                    # doctest: +SKIP
...     client.submit(sum, [1, 2]).result()
3
"""

import sys
from types import ModuleType
from typing import Any

from distspc.deploy.dashboard import dashboard_lines
from distspc.deploy.driver import Submitted, job_script, submit_driver
from distspc.deploy.failures import explain_failure
from distspc.deploy.machine import worker_environment, worker_threads
from distspc.deploy.profiles import Profile, list_profiles, load_profile
from distspc.deploy.session import deploy

__all__ = [
    "Profile",
    "Submitted",
    "dashboard_lines",
    "deploy",
    "explain_failure",
    "job_script",
    "list_profiles",
    "load_profile",
    "submit_driver",
    "worker_environment",
    "worker_threads",
]


class _CallableModule(ModuleType):
    # `distspc.deploy("local")` must work whether or not somebody has imported this package before.
    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return deploy(*arguments, **options)


sys.modules[__name__].__class__ = _CallableModule
