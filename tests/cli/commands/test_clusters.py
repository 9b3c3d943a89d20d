"""Commands of clusters: what there is, and the job as the queue would get it."""

import pytest

from distspc.cli import main
from distspc.deployment.profile.reading import list_profiles


def run(capsys, *arguments):
    try:
        main(list(arguments))
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    return (code, *capsys.readouterr())


def test_every_profile_is_listed_with_what_it_is_for(capsys):
    code, out, _ = run(capsys, "profiles")
    assert code == 0
    for name, text in list_profiles().items():
        assert any(line.split(maxsplit=1) == [name, text] for line in out.splitlines())


def test_the_job_is_shown_with_its_overrides(capsys):
    code, out, _ = run(capsys, "job-script", "--profile", "slurm-cpu", "--set", "walltime=01:23:00")
    assert code == 0
    assert out.startswith("#!")
    assert "#SBATCH -t 01:23:00" in out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["job-script", "--profile", "local"], "batch queue"),
        (["job-script", "--profile", "slurm-cpu", "--set", "wal"], "write key=value"),
        (["job-script", "--profile", "slrm-cpu"], "did you mean 'slurm-cpu'"),
    ],
)
def test_what_has_no_job_is_exit_code_2(arguments, sentence, capsys):
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert sentence in err
