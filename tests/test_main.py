"""`python -m distspc` is the command."""

import subprocess
import sys

from distspc import __version__


def test_the_package_runs_as_a_module():
    command = [sys.executable, "-m", "distspc", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == f"distspc {__version__}\n"


def test_an_unknown_command_ends_with_2():
    ended = subprocess.run([sys.executable, "-m", "distspc", "rum"], capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "rum" in ended.stderr
