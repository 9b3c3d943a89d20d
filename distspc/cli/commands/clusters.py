"""Commands of clusters: profiles, job scripts, submission."""

from __future__ import annotations

import typer

from distspc.cli.dialogue.speech import echo_text
from distspc.cli.usage.help import CLUSTERS, examples
from distspc.cli.usage.options import QueueOption, SetOption, StrictOption, StudyArgument

commands = typer.Typer()


@commands.command(rich_help_panel=CLUSTERS, epilog=examples("profiles"))
def profiles() -> None:
    """List the profiles that come with distspc, and where they are."""
    from distspc.deployment.profile.reading import list_profiles, profile_folder

    found = list_profiles()
    width = max(map(len, found))
    for name, text in found.items():
        echo_text(f"{name:<{width}}  {text}")
    echo_text(f"Files: {profile_folder()}. Copy one, change it, and give its path to --profile.")


@commands.command(
    "job-script",
    rich_help_panel=CLUSTERS,
    epilog=examples("job-script --profile slurm-cpu", "job-script -p slurm-gpu --set walltime=02:00:00"),
)
def job_script(
    profile: QueueOption,
    overrides: SetOption = None,
) -> None:
    """Print the exact job that would be submitted for one worker."""
    from distspc.deployment.batch.driver import job_script as script

    echo_text(script(profile, overrides=tuple(overrides or ())))


@commands.command(
    rich_help_panel=CLUSTERS,
    epilog=examples(
        "submit study.yaml --profile slurm-cpu", "submit study.yaml -p slurm-cpu --set workers=64 --strict"
    ),
)
def submit(
    study: StudyArgument,
    profile: QueueOption,
    overrides: SetOption = None,
    strict: StrictOption = False,
) -> None:
    """Submit a small job that runs the study.

    No login session has to stay open: the job starts the workers and ends them.
    """
    from distspc.deployment.batch.driver import submit_driver
    from distspc.pipeline.run import Study

    Study.from_file(study)  # what is wrong with it shows now, not in the queue
    job = submit_driver(study, profile, overrides=tuple(overrides or ()), arguments=["--strict"] if strict else [])
    echo_text(f"job {job.job_id} runs the study; its log: {job.log}")
    echo_text(f"follow it with: distspc status {study}")
