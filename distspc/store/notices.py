"""What was left out or converted on the way to the results: sentences kept with the group of the store they concern.

A notice goes when its group goes (a stage redone), and is replaced when its key is written again: what the store says
is always about the results that it holds.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from distspc.store.group import Group

RULES = "rules"
"""Key of what is said of every study: by which rule its parts were brought together, with examples."""


class Notice(NamedTuple):
    """One sentence about something that was matched, dropped, converted or left out."""

    text: str
    warning: bool = False
    """Whether a reader of the results should stop and look."""


def keep_notices(group: Group, key: str, notices: Iterable[Notice]) -> None:
    """Keep notices with a group, in place of those kept before under the same key; on the driver only.

    Parameters
    ----------
    group
        A group that exists.
    key
        Name of what is told, such as ``scores`` or ``orientation``: one writer for each.
    notices
        The sentences, none of them to clear the key.
    """
    kept = dict(group.attributes.get("notices", {}))
    new = [[notice.text, notice.warning] for notice in notices]
    if new != kept.get(key, []):
        group.set_attributes(notices={**kept, key: new})


def stored_notices(groups: Iterable[Group], *, key: str | None = None) -> list[Notice]:
    """Return the notices of some groups, in the order of the groups; each sentence once.

    Parameters
    ----------
    groups
        Groups; those that are not there hold none.
    key
        Only those under this key; all but `RULES` by default, which say how it was done, not what was left out.
    """
    found: dict[str, Notice] = {}
    for group in groups:
        if group.exists():
            for name, rows in group.attributes.get("notices", {}).items():
                if name == key or (key is None and name != RULES):
                    found |= {text: Notice(text, bool(warning)) for text, warning in rows}
    return list(found.values())
