"""The command line: commands only; everything they do can be done from Python too."""

from distspc.cli.main import main

__all__ = ["main"]
