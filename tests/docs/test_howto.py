"""The tasks of the documentation are run as they stand."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from distspc.cli.main import main

PAGE = Path(__file__).parents[2] / "docs" / "howto.md"
TASKS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL))


def test_there_are_twenty_tasks():
    assert len(TASKS) == 20


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("task", [title for title, text in TASKS.items() if "```bash" in text or "```python" in text])
def test_a_task_does_what_it_says(task, small_study, tmp_path, monkeypatch):
    folder = shutil.copytree(small_study, tmp_path / "study")
    monkeypatch.chdir(folder)
    for language, code in re.findall(r"```(bash|python)\n(.*?)```", TASKS[task], re.DOTALL):
        if language == "python":
            exec(compile(code, task, "exec"), {"__name__": "__main__"})
            continue
        for line in code.splitlines():
            program, *arguments = shlex.split(line, comments=True)
            assert program == "distspc"
            assert exit_code(arguments) == 0, line


def exit_code(arguments):
    """Exit code of a command."""
    try:
        main(arguments)
    except SystemExit as end:
        return end.code or 0
    return 0
