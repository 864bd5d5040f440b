"""YAML as study files use it: one document of plain data, and nothing that can run or grow.

Scalars are those of the YAML 1.2 core schema, so `on`, `no`, `12:30` and `2020-01-01` are texts and
`1e-3` is a number. Aliases are refused (a few lines of them can stand for billions of values), and
so are tags and keys written twice. Mappings remember the lines of their keys, for errors.
"""

import re
from typing import Any

import yaml

from assay.errors import UsageError

MOST_CHARACTERS = 1_000_000
MOST_DIGITS = 300
DEEPEST = 50

INT = re.compile(r"[-+]?[0-9]+$|0o[0-7]+$|0x[0-9a-fA-F]+$")
FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|[-+]?\.(inf|Inf|INF)$|\.(nan|NaN|NAN)$"
)
SCALARS = {
    "null": (re.compile(r"(~|null|Null|NULL|)$"), ["~", "n", "N", ""]),
    "bool": (re.compile(r"(true|True|TRUE|false|False|FALSE)$"), list("tTfF")),
    "int": (INT, list("-+0123456789")),
    "float": (FLOAT, list("-+.0123456789")),
}


class Mapping(dict[Any, Any]):
    """A mapping that knows in which line each key was written."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: dict[Any, int] = {}


class _Loader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.peek_event()
        mark = event.start_mark
        if getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(problem="aliases (& and *) are refused", problem_mark=mark)
        if getattr(event, "tag", None) not in (None, "!"):
            raise yaml.MarkedYAMLError(problem="tags (!) are refused", problem_mark=mark)
        if self.depth > DEEPEST:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    """Quotes a text that this reader or an older one would take for something else."""


def _text(dumper: Any, text: str) -> Any:
    rare = any(c in text for c in "\x85\u2028\u2029")  # line breaks to YAML 1.1: escape them
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"' if rare else None)


def _int(loader: Any, node: Any) -> int:
    text = loader.construct_scalar(node)
    if len(text) > MOST_DIGITS:
        problem = f"a number of more than {MOST_DIGITS} digits"
        raise yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _mapping(loader: Any, node: Any) -> Mapping:
    made = Mapping()
    for key_node, value_node in node.value:
        key, line = loader.construct_object(key_node, deep=True), key_node.start_mark.line + 1
        if not isinstance(key, str | int | float):
            raise UsageError(f"{key!r} is not a key", where=f"line {line}", accepted="a text")
        if key in made:
            first = made.lines[key]
            raise UsageError(
                f"{key!r} is written twice (first in line {first})", where=f"line {line}"
            )
        made[key], made.lines[key] = loader.construct_object(value_node, deep=True), line
    return made


_Loader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
    _Dumper.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", _pattern, _first)
_Dumper.add_representer(str, _text)
_Loader.add_constructor("tag:yaml.org,2002:int", _int)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_yaml(text: str) -> Any:
    """Read one document.

    Raises:
        UsageError: With the line, if it is not YAML or holds what is refused.
    """
    if len(text) > MOST_CHARACTERS:
        raise UsageError("is too long for a study", accepted=f"{MOST_CHARACTERS:,} characters")
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UsageError(str(error.problem), where=f"line {line}", accepted="YAML") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise UsageError(
            f"character #x{error.character:04x} is not allowed", where=f"line {line}"
        ) from error


def write_yaml(data: Any) -> str:
    """Plain data as a document that `read_yaml` reads back unchanged."""
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100)
