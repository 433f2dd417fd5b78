"""One YAML file, read strictly: every value knows its line, variables keep their types, overrides come last.

`${VAR}` and `${VAR:-default}` are replaced inside values. In an unquoted value the outcome is read as YAML again, so
`n: ${N:-10}` is an integer; in a quoted one it stays a string. `$${` stands for a literal `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from shared.core.errors import ConfigError
from shared.privacy.secret_patterns import PLACEHOLDER
from shared.privacy.secret_settings import is_secret_name

Where = tuple[str | int, ...]
"""A place in the document: the keys and positions that lead to it."""

_VARIABLE = re.compile(r"\$\$\{|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-((?:[^{}]|\{[^{}]*\})*))?\}")
_DEEPEST = 40
_MOST_BYTES = 1_000_000
_MOST_VALUES = 50_000
_LONGEST = 100_000  # characters in one value
_UNREADABLE = (yaml.YAMLError, ValueError, OverflowError, LookupError, AttributeError)
"""What PyYAML raises for values that cannot be: `"\\U00110000"`, `!!bool x`, `!!timestamp x`."""


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which takes `1e-3` for a number too, as YAML 1.2 does, and refuses what nests too deep."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """One node with all below it."""
        self._depth += 1
        if self._depth > 2 * _DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]  # typeshed does not know it
            raise yaml.MarkedYAMLError(problem=f"nested deeper than {2 * _DEEPEST} levels", problem_mark=mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"), list("-+0123456789")
)


@dataclass(slots=True)
class Document:
    """A configuration as plain values, with the line of each of them. `name` is what errors call the file."""

    name: str
    text: str
    data: dict[str, Any]
    lines: dict[Where, int] = field(default_factory=dict)
    overridden: dict[Where, str] = field(default_factory=dict)

    def place(self, where: Where) -> str:
        """`file:line  path.to.it` of a value; of the nearest thing above it when it is missing."""
        for end in range(len(where), 0, -1):
            if where[:end] in self.overridden:
                return f"{self.overridden[where[:end]]}  {dotted_path(where)}"
        inner = where
        while inner and inner not in self.lines:
            inner = inner[:-1]
        line = self.lines.get(inner)
        return f"{self.name}{'' if line is None else f':{line}'}  {dotted_path(where) or 'the file'}"


def dotted_path(where: Where) -> str:
    """A place as users write it: `metrics_config.Cites.class`, `items[2]`."""
    text = ""
    for step in where:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def read_document(path: Path, name: str, variables: Mapping[str, str], overrides: Iterable[str] = ()) -> Document:
    """Read a file and lay `overrides` (`a.b=value`) over it.

    Raises:
        ConfigError: for a file that cannot be read or parsed, doubled keys, unset variables, malformed overrides.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_MOST_BYTES + 1)
        text = raw.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{name}: cannot be read: {error}") from error
    if len(raw) > _MOST_BYTES:
        raise ConfigError(f"{name}: expected a configuration of at most {_MOST_BYTES:,} bytes, found more")
    reader = _Reader(name, variables)
    document = Document(name, text, reader.mapping(text), reader.lines)
    for override in overrides:
        _set_override(document, override, variables)
    if reader.problems:
        raise ConfigError(*reader.problems)
    return document


class _Reader:
    """Turns the nodes of one YAML text into plain values and notes their lines and every mistake."""

    def __init__(self, name: str, variables: Mapping[str, str]) -> None:
        self.name = name
        self.variables = variables
        self.lines: dict[Where, int] = {}
        self.problems: list[str] = []
        self._values = 0
        self._merging: list[yaml.Node] = []

    def mapping(self, text: str) -> dict[str, Any]:
        value = self.parse(text)
        if not isinstance(value, dict):
            found = "nothing" if value is None else f"a {type(value).__name__}"
            raise ConfigError(f"{self.name}: expected a mapping (key: value lines) at the top, found {found}")
        return value

    def parse(self, text: str) -> object:
        try:
            self._loader = _Loader(text)
            node = self._loader.get_single_node()
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            found = f"the character U+{ord(text[error.position]):04X}"
            raise ConfigError(f"{self.name}:{line}: not valid YAML: {found} is not allowed; remove it") from error
        except (*_UNREADABLE, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = self._loader.line if mark is None else mark.line
            what = getattr(error, "problem", None) or str(error).split("\n")[0]
            raise ConfigError(f"{self.name}:{line + 1}: not valid YAML: {what}") from error
        return None if node is None else self._value(node, ())

    def _count(self, where: Where) -> None:
        """Count a value; aliases of aliases multiply a few lines to any number of them."""
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ConfigError(
                f"{self._place(where[:1])}: more than {_MOST_VALUES:,} values; do aliases repeat aliases?"
            )

    def _value(self, node: yaml.Node, where: Where) -> object:
        self.lines.setdefault(where, node.start_mark.line + 1)
        self._count(where)
        if len(where) > _DEEPEST:
            raise ConfigError(f"{self._place(where)}: nested deeper than {_DEEPEST} levels; is an alias inside itself?")
        if isinstance(node, yaml.MappingNode):
            return self._pairs(node, where)
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, (*where, i)) for i, each in enumerate(node.value)]
        return self._scalar(node, where)

    def _pairs(self, node: yaml.MappingNode, where: Where) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                line = key_node.start_mark.line + 1
                self.problems.append(
                    f"{self.name}:{line}  {dotted_path(where)}: found a list or mapping as a key, expected text"
                )
                continue
            key = str(key_node.value)
            inner = (*where, key)
            if key_node.tag == "tag:yaml.org,2002:merge":
                parts = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for part in reversed(parts):
                    merged |= self._merge_value(part, where)
                continue
            if key in found:
                first = self.lines.get(inner)
                line = key_node.start_mark.line + 1
                self.problems.append(
                    f"{self.name}:{line}  {dotted_path(inner)}: stands here twice (first in line {first})"
                )
                continue
            self.lines[inner] = key_node.start_mark.line + 1
            found[key] = self._value(value_node, inner)
        return merged | found

    def _merge_value(self, node: yaml.Node, where: Where) -> dict[str, Any]:
        self._count(where)
        if not isinstance(node, yaml.MappingNode):
            found = "a list" if isinstance(node, yaml.SequenceNode) else repr(node.value[:80])
            self.problems.append(f"{self._place(where)}: expected a mapping after <<, found {found}")
            return {}
        if node in self._merging or len(self._merging) > _DEEPEST:
            line = node.start_mark.line + 1
            raise ConfigError(
                f"{self.name}:{line}  {dotted_path(where)}: this mapping is merged (<<) into itself; take it out"
            )
        self._merging.append(node)
        pairs = self._pairs(node, where)
        self._merging.pop()
        return pairs

    def _scalar(self, node: yaml.Node, where: Where) -> object:
        text, tag, quoted = str(node.value), node.tag, getattr(node, "style", None) is not None
        if len(text) > _LONGEST:
            self.problems.append(f"{self._place(where)}: found {len(text):,} characters, expected at most {_LONGEST:,}")
            return None
        expanded = _VARIABLE.sub(lambda hit: self._variable(hit, where), text)
        if expanded != text:
            resolve: Callable[..., str] = self._loader.resolve
            tag = "tag:yaml.org,2002:str" if quoted else resolve(yaml.ScalarNode, expanded, (True, False))
        try:
            value: object = self._loader.construct_object(
                yaml.ScalarNode(tag, expanded, node.start_mark, node.end_mark)
            )
            return value
        except _UNREADABLE as error:
            problem = getattr(error, "problem", None) or error
            self.problems.append(f"{self._place(where)}: found {expanded!r}, which cannot be read: {problem}")
            return None

    def _variable(self, hit: re.Match[str], where: Where) -> str:
        name, default = hit.group(1), hit.group(2)
        if name is None:
            return "${"
        value = self.variables.get(name)
        if value is not None and not (value == "" and default is not None):
            return value
        if default is None:
            self.problems.append(
                f"{self._place(where)}: the variable {name} is not set; set it in the environment or in .env, "
                f"or give a default: ${{{name}:-value}}"
            )
            return ""
        return _VARIABLE.sub(lambda inner: self._variable(inner, where), default)

    def _place(self, where: Where) -> str:
        return Document(self.name, "", {}, self.lines).place(where)


def _set_override(document: Document, override: str, variables: Mapping[str, str]) -> None:
    """Set one dotted key; its value is read as YAML, variables included."""
    key, equals, text = override.partition("=")
    steps = key.strip().split(".")
    if not equals or not all(steps):
        raise ConfigError(f"--set {override}: expected a.b=value, such as --set sampling.n=20")
    reader = _Reader(f"--set {key.strip()}", variables)
    value = reader.parse(text)
    if reader.problems:
        raise ConfigError(*reader.problems)
    inner: Any = document.data
    for step in steps[:-1]:
        if not isinstance(inner.setdefault(step, {}), dict):
            raise ConfigError(f"--set {override}: {step!r} holds {inner[step]!r}, so there is nothing below it to set")
        inner = inner[step]
    inner[steps[-1]] = value
    document.overridden[tuple(steps)] = f"--set {key.strip()}"
    document.text += f"\n# --set {key}={PLACEHOLDER if is_secret_name(steps[-1]) else text}"
