"""What the shell offers for an argument once Tab is pressed; what is wrong with a study gives nothing to offer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from glob import escape, glob
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from distspc.study.file import StudyFile

_STUDY = re.compile(rb"^store\s*:", re.MULTILINE)
_HEAD_NBYTES = 100_000


def study_files(incomplete: str) -> list[str]:
    """Study files in the folder that is being typed, and in its folders; where there is none, the shell lists files."""
    found = [path for depth in ("*", "*/*") for path in glob(escape(incomplete) + depth)]
    return sorted({path for path in found if path.endswith((".yaml", ".yml")) and _is_study(path)})


def _is_study(path: str) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return _STUDY.search(file.read(_HEAD_NBYTES)) is not None
    return False


def profiles(incomplete: str) -> Iterable[tuple[str, str]]:
    """Profiles that come with distspc, with what they are."""
    from distspc.deployment.profile.reading import list_profiles

    return [(name, text) for name, text in list_profiles().items() if name.startswith(incomplete)]


def data_sets(incomplete: str) -> Iterable[tuple[str, str]]:
    """Data sets of the field that distspc knows."""
    from distspc.datasets.catalogue import DATASETS

    return [(name, dataset.title) for name, dataset in DATASETS.items() if name.startswith(incomplete)]


def layers(context: typer.Context, incomplete: str) -> list[str]:
    """Layers of the study that stands before in the command line, but for those that are named already."""
    study = _first_study([context.params.get("study"), *context.args])  # an option without its value: all are in args
    taken = context.params.get("layers") or ()
    return [name for name in (study.layers if study else ()) if name.startswith(incomplete) and name not in taken]


def weights(incomplete: str) -> Sequence[str]:
    """Words for weights; files are the shell's."""
    from distspc.extraction.options import BUILTIN_WEIGHTS

    return [word for word in BUILTIN_WEIGHTS if word.startswith(incomplete)]


def weights_or_study(incomplete: str) -> Sequence[str]:
    """Words for weights, or study files."""
    return [*weights(incomplete), *study_files(incomplete)]


def _first_study(words: Iterable[Any]) -> StudyFile | None:
    from distspc.errors import InputError
    from distspc.study.file import StudyFile

    for word in words:
        with suppress(InputError, OSError, TypeError):
            return StudyFile.from_file(Path(word))
    return None
