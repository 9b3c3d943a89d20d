"""The licences of what an installed package depends on, as metadata say: `python docs/extensions/licences.py`.

Ends with 1, and names them, where one is unknown or not among those that software under BSD-3-Clause may depend on.
"""

from __future__ import annotations

import re
import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution

PERMISSIVE = re.compile(
    r"apache|bsd|\bmit\b|\bisc\b|psf|python software foundation|zlib|cc0|unlicense|matplotlib|kiwi"
    r"|historical permission|redistribution and use in source",
    re.IGNORECASE,
)
BY_FILE = re.compile(r"mpl-2|mozilla public license 2", re.IGNORECASE)
"""Copyleft of single files, which a package that only imports them need not heed."""
COPYLEFT = re.compile(r"\b[al]?gpl|gnu (affero|lesser|general)", re.IGNORECASE)


def dependencies(root: str) -> list[Distribution]:
    """Return what is installed of all that a package needs, extras left out, in the order of the alphabet."""
    found: dict[str, Distribution] = {}
    todo = [root]
    while todo:
        try:
            one = distribution(todo.pop())
        except PackageNotFoundError:  # of another system, or for an older Python
            continue
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        if name not in found:
            found[name] = one
            lines = [line for line in one.requires or [] if "extra ==" not in line]
            todo += [match[0] for line in lines if (match := re.match(r"[\w.-]+", line))]
    return [found[name] for name in sorted(found) if found[name].metadata["Name"] != root]


def licence(one: Distribution) -> str:
    """Return what a package says of its licence: expression, classifiers, or a line of field or file."""
    metadata = one.metadata
    if metadata.get("License-Expression"):
        return str(metadata["License-Expression"])
    classifiers = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier") or [] if line[:9] == "License :"]
    files = [file for file in one.files or [] if re.match(r"licen[cs]e|copying", file.name, re.IGNORECASE)]
    texts = [file.read_text() for file in files if "dist-info" in str(file)]
    for text in ("; ".join(classifiers), metadata.get("License") or "", *texts):
        for line in text.splitlines():
            if any(known.search(line) for known in (PERMISSIVE, BY_FILE, COPYLEFT)):
                return line.strip()
    return ""


def is_compatible(text: str) -> bool:
    """Whether software under BSD-3-Clause may depend on what is under this licence; of alternatives one suffices."""

    def is_known(one: str) -> bool:
        return bool(PERMISSIVE.search(one) or BY_FILE.search(one)) and not COPYLEFT.search(one)

    return any(all(map(is_known, re.split(r"\s+AND\s+", choice))) for choice in re.split(r"\s+OR\s+", text))


def main(root: str = "distspc") -> int:
    """Print a line for every dependency; gives 1 where some are not known to be compatible."""
    rows = [(one.metadata["Name"], one.version, licence(one)) for one in dependencies(root)]
    for name, version, text in rows:
        print(f"{name:32}{version:16}{text}")  # noqa: T201
    wrong = [name for name, _, text in rows if not is_compatible(text)]
    print(f"{len(rows)} packages" + (f"; not known to be compatible: {', '.join(wrong)}" if wrong else ""))  # noqa: T201
    return 1 if wrong or not rows else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
