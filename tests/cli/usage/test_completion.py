"""What Tab offers: through the scripts that shells source, in a real bash; zsh is asked as its script asks."""

import os
import shutil
import subprocess
import sys

import pytest

from distspc.cli.usage.completion import data_sets, profiles, study_files

STUDY = "store: study.zarr\nimages: {targets: Images}\nmodel: {weights: random}\nlayers: [block5_pool, fc1, fc2]\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two studies, one in a folder of its own, and another YAML file; `distspc` is on the path."""
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "study.yaml").write_text(STUDY)
    (tmp_path / "study.yaml").write_text(STUDY)
    (tmp_path / "profile.yaml").write_text("distspc: {kind: local}\n")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "distspc"
    script.write_text(f"#!{sys.executable}\nfrom distspc.cli import main\nmain()\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(script):
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def offered_by_bash(*words):
    quoted = " ".join(f"'{word}'" for word in words)
    return bash(
        'eval "$(_DISTSPC_COMPLETE=source_bash distspc)"\n'
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        "_distspc_completion distspc\n"
        'printf "%s\\n" "${COMPREPLY[@]}"'
    ).split()


def offered_to_zsh(line):
    """What zsh is told of a line that is being typed: the argument of `_arguments` or `_files`."""
    environment = {**os.environ, "_DISTSPC_COMPLETE": "complete_zsh", "_TYPER_COMPLETE_ARGS": line}
    return subprocess.run(["distspc"], env=environment, capture_output=True, text=True, timeout=120).stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_offers_commands_studies_profiles_and_layers(folder):
    assert {"run", "readout", "relate", "report", "reconstruct"} == set(offered_by_bash("distspc", "r"))
    assert offered_by_bash("distspc", "run", "") == ["demo/study.yaml", "study.yaml"]
    assert offered_by_bash("distspc", "score", "study.yaml", "--layers", "fc") == ["fc1", "fc2"]


def test_zsh_is_told_profiles_with_what_they_are_and_data_sets(folder):
    told = offered_to_zsh("distspc run study.yaml --profile slurm-g")
    assert told.startswith("_arguments")
    assert '"slurm-gpu":' in told
    assert '"things":' in offered_to_zsh("distspc fetch here --dataset th")


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_completion_is_installed_for_bash(folder, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    shown = bash("distspc --show-completion bash")
    assert "complete -o default -F _distspc_completion distspc" in shown
    bash("distspc --install-completion bash")
    assert (folder / "home" / ".bash_completions" / "distspc.sh").read_text().strip() == shown.strip()
    assert "distspc.sh" in (folder / "home" / ".bashrc").read_text()


def test_values_begin_as_what_is_typed(folder):
    assert study_files("demo/") == ["demo/study.yaml"]
    assert study_files("nothing") == []
    assert [name for name, _ in data_sets("m")] == ["memcat"]
    assert all(name.startswith("slurm") and text for name, text in profiles("slurm"))
