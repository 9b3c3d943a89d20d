"""Tables of the documentation that are made from the package, so that they cannot differ from it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin

from docutils import nodes
from pydantic import BaseModel
from sphinx.util.docutils import SphinxDirective

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from sphinx.application import Sphinx


def study_keys() -> str:
    """A section for each section of the study file, with a table of its keys."""
    from distspc.study.file import StudyFile

    return "\n\n".join(f"## {title}\n\n{table}" for title, table in _sections(StudyFile, "Keys of the study"))


def key_texts(model: type[BaseModel]) -> dict[str, str]:
    """What stands below each field in the source of a section, and of those that it builds on."""
    found: dict[str, str] = {}
    for base in reversed(model.__mro__):
        if issubclass(base, BaseModel) and base.__module__.startswith("distspc.") and "[" not in base.__name__:
            body = ast.parse(textwrap.dedent(inspect.getsource(base))).body[0].body  # type: ignore[attr-defined]
            for field, text in pairwise(body):
                match field, text:
                    case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                        found[name] = words
    return found


def _sections(
    model: type[BaseModel], title: str, known: tuple[type[BaseModel], ...] = (), parent: str = ""
) -> Iterator[tuple[str, str]]:
    """Title and table of a section and of those in it; of what another section has too, the rest."""
    shared = {name for other in known if issubclass(model, other) for name in other.model_fields}
    below, rows, texts = [], [], key_texts(model)
    for name, field in model.model_fields.items():
        if name in shared:
            continue
        key = (field.alias or name).replace("_", "-")
        rows.append([f"`{key}`", _words(f"{parent}{key}", field), _default(field), texts.get(name, "")])
        below += [(f"{parent}{key}", section) for section in _models(field.annotation)]
    yield title, _markdown(["key", "value", "default", "what it says"], rows)
    for number, (key, section) in enumerate(below):
        yield from _sections(section, f"`{key}`", tuple(other for _, other in below[:number]), f"{key}: ")


def _models(annotation: Any) -> list[type[BaseModel]]:
    """Sections that a key may hold."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models(part)]


def _words(key: str, field: FieldInfo) -> str:
    """What a key may be, in words."""
    annotation = field.annotation
    sections = _models(annotation)
    words = sorted({word for word in _literals(annotation) if isinstance(word, str)})
    limits = {name: getattr(m, name) for m in field.metadata for name in ("ge", "gt", "le") if hasattr(m, name)}
    if sections:
        place = re.sub(r"[^\w-]+", "-", key).strip("-")
        return f"[{'sections' if get_origin(annotation) in (tuple, Mapping) else 'a section'}](#{place})"
    if words:
        return ", ".join(f"`{word}`" for word in words)
    number = "number" if "float" in str(annotation) else "count" if "int" in str(annotation) else ""
    low = f" from {limits['ge']}" if "ge" in limits else f" above {limits['gt']}" if "gt" in limits else ""
    high = f" to {limits['le']:,}" if "le" in limits else ""
    if number:
        return number + low + high
    if "bool" in str(annotation):
        return "`true`, `false`"
    return "path" if "Path" in str(annotation) else "list" if "tuple" in str(annotation) else "text"


def _literals(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Literal:
        yield from get_args(annotation)
    else:
        for part in get_args(annotation):
            yield from _literals(part)


def _default(field: FieldInfo) -> str:
    from pydantic_core import PydanticUndefined

    value = field.default
    if value is PydanticUndefined:
        return "(needed)" if field.is_required() else ""
    if value is None or value == () or value == {} or isinstance(value, BaseModel):
        return ""
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`[{', '.join(map(str, value))}]`" if isinstance(value, tuple) else f"`{value}`"


def data_sets() -> str:
    """The image sets that `distspc init` and `distspc fetch` know."""
    from distspc.datasets.catalogue import DATASETS

    rows = [
        [f"`{one.name}`", one.title, ", ".join(f"`{s}`" for s in one.scores), one.citation] for one in DATASETS.values()
    ]
    return _markdown(["name", "set", "scores", "cite"], rows)


def measures() -> str:
    """The measures that a study may name, with their columns."""
    from distspc.measures.registry import MEASURES

    rows = [
        [f"`{word}`", f"`{one.name}`", one.words, one.unit, one.larger, one.undefined, measure.source]
        for word, measure in MEASURES.items()
        for one in measure.columns
    ]
    return _markdown(["word", "column", "measure", "unit", "images with more", "no value where", "source"], rows)


def store_variables() -> str:
    """Every variable of a store, by group."""
    from distspc.store.format.schema import GROUPS

    rows = [
        [
            f"`{group}`",
            f"`{name}`",
            " x ".join(one.dims),
            one.dtype,
            "" if one.units == "1" else one.units,
            one.long_name,
        ]
        for group, variables in GROUPS.items()
        for name, one in variables.items()
    ]
    return _markdown(["group", "variable", "dimensions", "type", "unit", "what it is"], rows)


def profiles() -> str:
    """The profiles that the package brings."""
    from distspc.deployment.profile.reading import list_profiles

    return _markdown(["profile", "what"], [[f"`{name}`", text] for name, text in list_profiles().items()])


def _markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


class GeneratedTable(SphinxDirective):
    """A table, by its name."""

    required_arguments = 1
    tables: ClassVar[dict[str, Callable[[], str]]] = {
        "study-keys": study_keys,
        "data-sets": data_sets,
        "measures": measures,
        "store-variables": store_variables,
    }

    def run(self) -> list[nodes.Node]:
        """Parse the table as if it stood in the page."""
        return self.parse_text_to_nodes(self.tables[self.arguments[0]](), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Offer the directive."""
    app.add_directive("generated-table", GeneratedTable)
    return {"parallel_read_safe": True}
