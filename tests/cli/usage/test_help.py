"""Help at 80 columns: commands by group, each with one whole sentence; nothing cut; examples that parse."""

import re
import shlex

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from distspc.cli.main import app
from distspc.cli.usage.help import CLUSTERS, DATA, LOOK, RUN, examples_of

GROUP = get_command(app)
NAMES = list(GROUP.commands)


def shown(monkeypatch, *arguments, columns=80):
    """Lines of a help text without its frames."""
    monkeypatch.setenv("COLUMNS", str(columns))
    result = CliRunner().invoke(app, [*arguments, "--help"], prog_name="distspc")
    assert result.exit_code == 0, result.output
    assert all(len(line) <= columns for line in result.output.splitlines())
    return result.output


def words(text):
    return re.sub(r"[\s│]+", " ", text)


def test_commands_are_listed_by_group_with_one_whole_sentence(monkeypatch):
    text = shown(monkeypatch)
    titles = re.findall(r"╭─ (\w+) ─", text)
    assert titles == ["Options", RUN, LOOK, CLUSTERS, DATA]
    for name in NAMES:
        sentence = GROUP.commands[name].help.split("\n\n")[0]
        assert sentence.endswith(".")
        assert re.search(rf"│ {name} +{re.escape(sentence)} *│", text), f"{name}: not on one line"


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_cut_and_every_option_says_what_it_does(name, monkeypatch):
    text = words(shown(monkeypatch, name))
    assert "…" not in text
    assert "..." not in text.replace("]...", "").replace("}...", "").replace(" ...", "")
    command = GROUP.commands[name]
    assert command.help.split("\n\n")[-1] in text
    for parameter in command.params:
        # a row of a table wraps between what other cells say: so word by word
        assert parameter.help, parameter.name
        assert parameter.help.endswith((".", ".)")), parameter.help
        missing = [word for word in re.findall(r"[\w`.:-]+", parameter.help) if word not in text.replace(" ", "")]
        assert not missing, f"{parameter.name}: {missing}"


@pytest.mark.parametrize("name", ["", *NAMES])
def test_examples_are_shown_whole_and_parse(name, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # one names a log file, which is begun
    command = GROUP.commands[name] if name else GROUP
    lines = examples_of(command.epilog)
    assert lines
    text = shown(monkeypatch, *([name] if name else []))
    for line in lines:
        assert re.search(rf"^ *distspc {re.escape(line)} *$", text, re.MULTILINE), f"wrapped: {line}"
        first, *rest = shlex.split(line)
        assert name in ("", first)
        one = GROUP.commands[first]
        if "--help" not in rest:
            assert one.make_context(first, rest, parent=GROUP.context_class(GROUP)).args == []
