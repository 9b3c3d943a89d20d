"""Single lines changed for the worse, each in a copy of the tree: do the tests notice?

    python benchmarks/mutations.py --record mutations.jsonl [--only kernels/distance] [--workers 2] [--again survived]

`mutations.toml` has the changes by file, and for each file the tests that are to notice: its mirrored folder or less.
The tests have to pass on the copy as it is, first. A change counts as noticed where they then fail, or do not end
within ten times as long. Verdicts go to the record one by one, so that a run that was stopped goes on where it was;
`--again survived` asks anew about those that nothing noticed. A change whose line is no longer in its file, exactly
once, ends the run before anything is tested.

Not mutmut or cosmic-ray: they make every change they know of everywhere (cosmic-ray 8.7: 10,081 for `kernels/` alone,
most of them another operator in place of one, noticed by any test, with seconds to a minute of tests each), and know of
no term left out of a sum and no margin set to nothing, which is what proofs fail by.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
LIST = Path(__file__).with_suffix(".toml")
SLOWER = 10
"""A change that makes tests so many times as slow, and more than a minute, is noticed."""


@dataclass(frozen=True)
class Mutation:
    """One change of one file, and the tests that are to notice it."""

    file: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""
    """Why nothing can notice it; empty where something should."""

    @property
    def key(self) -> str:
        """What a verdict is kept under."""
        return json.dumps([self.file, self.old, self.new])

    def __str__(self) -> str:
        old, new = (" ".join(text.split()) for text in (self.old, self.new))
        return f"{self.file}: {old!r} -> {new!r}"


def listed(path: Path = LIST) -> list[Mutation]:
    """All changes of the list.

    Raises
    ------
    ValueError
        If a line is not in its file exactly once; names all such.
    """
    found = [
        Mutation(part["file"], *change[:2], tuple(part["tests"]), *change[2:])
        for part in tomllib.loads(path.read_text())["part"]
        for change in part["changes"]
    ]
    texts = {m.file: (ROOT / m.file).read_text() for m in found}
    counts = {m: texts[m.file].count(m.old) for m in found}
    lost = [f"{m} ({n} times)" for m, n in counts.items() if n != 1]
    if lost:
        raise ValueError("not in its file exactly once:\n" + "\n".join(lost))
    return found


class Copy:
    """A copy of the tree, in which one change at a time is made."""

    def __init__(self, folder: Path) -> None:
        self.folder, self._n_written = folder, 0
        kept = subprocess.run(
            ["git", "ls-files", "-z", "-c", "-o", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True
        )
        for name in filter(None, kept.stdout.decode().split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)

    def passes(self, tests: Sequence[str], limit_s: float | None = None) -> tuple[bool, str]:
        """Whether tests pass, and the end of what they say."""
        environment = os.environ | {"PYTHONPATH": str(self.folder), "CI": "true"}
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
        try:
            done = subprocess.run(
                command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=limit_s
            )
        except subprocess.TimeoutExpired:
            return False, "not done in time"
        if done.returncode not in (0, 1):  # 1: tests failed; 2: a module could not be imported
            return done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
        return done.returncode == 0, done.stdout[-500:]

    def write(self, file: str, text: str) -> None:
        """Write a file, later than any compiled copy of it: its size and second may be the same."""
        self._n_written += 1
        (self.folder / file).write_text(text)
        stamp = time.time() + 2 * self._n_written
        os.utime(self.folder / file, (stamp, stamp))

    def notices(self, mutation: Mutation, limit_s: float) -> tuple[bool, str]:
        """Whether tests notice a change, and how."""
        whole = (self.folder / mutation.file).read_text()
        self.write(mutation.file, whole.replace(mutation.old, mutation.new))
        try:
            passed, said = self.passes(mutation.tests, limit_s)
        finally:
            self.write(mutation.file, whole)
        failed = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return not passed, (failed[-1] if failed else said.strip().splitlines()[-1] if said.strip() else "")[:200]


class Baselines:
    """Seconds that tests take unchanged, measured once each."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], float] = {}

    def limit_s(self, copy: Copy, tests: tuple[str, ...]) -> float:
        """Most seconds for tests of a change."""
        if tests not in self._known:
            start = time.monotonic()
            passed, said = copy.passes(tests)
            if not passed:
                raise SystemExit(f"{' '.join(tests)} fail without any change:\n{said}")
            self._known[tests] = time.monotonic() - start
        return max(60, SLOWER * self._known[tests])


class Record:
    """Verdicts, a line of JSON each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def verdicts(self) -> dict[str, str]:
        """The last verdict about each change."""
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        return {entry["key"]: entry["verdict"] for entry in map(json.loads, lines)}

    def add(self, mutation: Mutation, verdict: str, how: str, seconds: float) -> None:
        """Add one."""
        entry = {"key": mutation.key, "verdict": verdict, "how": how, "seconds": round(seconds, 1)}
        with self.path.open("a") as file:
            file.write(json.dumps(entry) + "\n")


class Run:
    """Copies that share the changes that are left."""

    def __init__(self, record: Record, n_workers: int, folder: Path) -> None:
        self.record, self.folder, self.baselines = record, folder, Baselines()
        self.n_workers = n_workers
        self.free: SimpleQueue[Copy] = SimpleQueue()

    @cached_property
    def copies(self) -> list[Copy]:
        """One for each worker."""
        return [Copy(self.folder / str(i)) for i in range(self.n_workers)]

    def over(self, mutations: Sequence[Mutation]) -> None:
        """Try changes, several at a time."""
        for copy in self.copies:
            self.free.put(copy)
        with ThreadPoolExecutor(self.n_workers) as pool:
            for line in pool.map(self._try, mutations):
                print(line, flush=True)

    def _try(self, mutation: Mutation) -> str:
        copy, start = self.free.get(), time.monotonic()
        try:
            noticed, how = copy.notices(mutation, self.baselines.limit_s(copy, mutation.tests))
        finally:
            self.free.put(copy)
        verdict = "noticed" if noticed else "survived"
        self.record.add(mutation, verdict, how, time.monotonic() - start)
        return f"{verdict:8} {time.monotonic() - start:5.0f} s  {mutation}  [{how}]"


def summary(mutations: Sequence[Mutation], verdicts: dict[str, str]) -> Iterator[str]:
    """How many were noticed, by folder, and what survived."""
    tried = [m for m in mutations if m.key in verdicts]
    folders = sorted({str(Path(m.file).parent) for m in tried})
    yield "| folder | changes | noticed | equivalent |"
    yield "|---|---|---|---|"
    for name, some in [*((f, [m for m in tried if str(Path(m.file).parent) == f]) for f in folders), ("all", tried)]:
        noticed = sum(verdicts[m.key] == "noticed" for m in some)
        equivalent = sum(verdicts[m.key] == "survived" and bool(m.equivalent) for m in some)
        yield f"| {name.removeprefix('distspc/')} | {len(some)} | {noticed} | {equivalent} |"
    for m in tried:
        if verdicts[m.key] == "survived":
            yield f"- survived: {m}" + (f": {m.equivalent}" if m.equivalent else "")


def main() -> None:
    """Try what is left, and print what became of all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", type=Path, required=True, help="file of verdicts, gone on with where it is there")
    parser.add_argument("--only", default="", help="part of the files' names")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--again", choices=["survived"], help="ask anew about these")
    settings = parser.parse_args()
    record, mutations = Record(settings.record), listed()
    known = {key for key, verdict in record.verdicts.items() if verdict != settings.again}
    left = [m for m in mutations if settings.only in m.file and m.key not in known]
    print(f"{len(mutations)} changes, {len(left)} to try")
    with tempfile.TemporaryDirectory(prefix="distspc-mutations-") as folder:
        Run(record, settings.workers, Path(folder)).over(left)
    print("\n".join(summary(mutations, record.verdicts)))


if __name__ == "__main__":
    main()
