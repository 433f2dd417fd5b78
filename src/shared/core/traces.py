"""Traces with dot access: what a source recorded of one request, grouped into named steps.

    trace.recommendation.variables.some_field        a value found by a pattern in the step's prompt
    trace.recommendation.generation.output           the step's model call
    trace.metadata.expected.decision                 the trace's own fields, whatever their spelling

Names are matched exactly first, then without case, underscores, hyphens and blanks, so `start_time` finds `startTime`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from shared.core.errors import ItemError, SourceError, StoreError
from shared.core.private_files import create_private_file


def _normalize_name(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _find_name(names: Iterable[str], wanted: str) -> str | None:
    """The one of `names` that `wanted` means: itself, or the first that differs only in case and separators."""
    pool = list(names)
    if wanted in pool:
        return wanted
    target = _normalize_name(wanted)
    return next((name for name in pool if _normalize_name(name) == target), None)


class AttributeMapping(Mapping[str, Any]):
    """A mapping whose keys are also attributes, forgiving in case and underscores, down through objects and lists of
    objects. `raw` is the mapping itself.
    """

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw

    def __getitem__(self, key: str) -> Any:
        found = _find_name(self.raw, key)
        if found is None:
            raise KeyError(key)
        return _with_attributes(self.raw[found])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "raw":
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no {name!r} here; known: {', '.join(map(str, self.raw)) or 'nothing'}") from None

    def __dir__(self) -> list[str]:
        return _completable_names([*super().__dir__(), *self.raw])

    def __iter__(self) -> Iterator[str]:
        return iter(self.raw)

    def __len__(self) -> int:
        return len(self.raw)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(str, self.raw))})"


def _with_attributes(value: object) -> Any:
    if isinstance(value, Mapping):
        return AttributeMapping(value)
    if isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
        return [_with_attributes(each) for each in value]
    return value


def _completable_names(names: Iterable[object]) -> list[str]:
    """What a notebook completes: names that can be typed after a dot."""
    return sorted({str(name) for name in names if str(name).isidentifier()})


class PromptPatternsBase:
    """Regular expressions that read variables back out of a step's prompt.

    An application subclasses it and writes one method per step, `_patterns_<step>()`, that returns
    `{variable: pattern}`. Each pattern is searched with DOTALL; its first group, stripped, is the value (of one without
    groups all of it). What is not there, or stands in an optional group that found nothing, is no variable.
    """

    def patterns(self, step: str) -> Mapping[str, str]:
        """The patterns of a step, empty where the application has none. Steps are matched without case and signs."""
        methods = {name.removeprefix("_patterns_"): name for name in dir(self) if name.startswith("_patterns_")}
        found = _find_name(methods, step)
        if found is None:
            return {}
        method: Callable[[], Mapping[str, str]] = getattr(self, methods[found])
        return method()

    def extract(self, step: str, text: str) -> dict[str, str]:
        """Every variable of the step that its pattern finds in `text`."""
        hits = ((name, re.search(pattern, text, re.DOTALL)) for name, pattern in self.patterns(step).items())
        values = ((name, hit.group(min(1, hit.re.groups))) for name, hit in hits if hit is not None)
        return {name: value.strip() for name, value in values if value is not None}


def prompt_text(value: object) -> str:
    """The text of a prompt: a string, a message, or a list of messages joined by line breaks.

    A string that holds messages as JSON is read as these: so Langfuse's API gives them.
    """
    if isinstance(value, str):
        found = _parse_messages(value)
        return value if found is None else prompt_text(found)
    if isinstance(value, Mapping):
        inner = next((value[key] for key in ("content", "prompt", "text", "messages") if key in value), None)
        return json.dumps(dict(value), ensure_ascii=False, default=str) if inner is None else prompt_text(inner)
    if isinstance(value, Sequence):
        return "\n".join(prompt_text(each) for each in value)
    return "" if value is None else str(value)


def _parse_messages(text: str) -> object:
    """The chat messages that a text holds as JSON, None where it holds none."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    inner = found.get("messages") if isinstance(found, dict) else found
    if isinstance(inner, list) and inner and all(isinstance(each, dict) and "content" in each for each in inner):
        return inner
    return None


_KINDS = {"context": "SPAN", "span": "SPAN", "generation": "GENERATION", "event": "EVENT", "retriever": "RETRIEVER"}


class TraceStep:
    """All observations of one name. `generation`, `span` (or `context`), `event` and `retriever` are its first of
    that type; `variables` are read from the generation's prompt; any other name is a field of the first observation.
    """

    def __init__(self, name: str, observations: Sequence[Mapping[str, Any]], patterns: PromptPatternsBase) -> None:
        self.name = name
        self.observations = tuple(AttributeMapping(each) for each in observations)
        self._patterns = patterns

    @property
    def variables(self) -> AttributeMapping:
        """The variables that the application's patterns find in this step's prompt."""
        generation = self._first("GENERATION")
        text = prompt_text(generation.raw.get("input")) if generation is not None else ""
        return AttributeMapping(self._patterns.extract(self.name, text))

    def _first(self, kind: str) -> AttributeMapping | None:
        return next((each for each in self.observations if str(each.raw.get("type", "")).upper() == kind), None)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        kind = _KINDS.get(name.lower())
        if kind is None:
            return getattr(self.observations[0], name)
        found = self._first(kind)
        if found is None:
            raise AttributeError(f"step {self.name!r} has no {kind} observation")
        return found

    def __dir__(self) -> list[str]:
        types = {str(each.raw.get("type", "")).upper() for each in self.observations}
        aliases = [alias for alias, kind in _KINDS.items() if kind in types]
        return _completable_names([*super().__dir__(), *aliases, *self.observations[0].raw])

    def __repr__(self) -> str:
        return f"TraceStep({self.name!r}, {len(self.observations)} observations)"


class Trace:
    """One request as recorded: its own fields, and its observations grouped into steps by name."""

    def __init__(self, raw: Mapping[str, Any], patterns: PromptPatternsBase | None = None) -> None:
        if not isinstance(raw, Mapping):
            raise ItemError(f"expected a trace (an object), found {type(raw).__name__}")
        self.raw = raw
        self._patterns = patterns or PromptPatternsBase()
        groups: dict[str, list[Mapping[str, Any]]] = {}
        observations = raw.get("observations") or ()
        if not isinstance(observations, list | tuple):
            raise ItemError(
                f"trace {raw.get('id')!r}: expected a list of observations, found {type(observations).__name__}"
            )
        for observation in observations:
            if isinstance(observation, Mapping):
                groups.setdefault(str(observation.get("name") or "unnamed"), []).append(observation)
        self._groups = groups

    @property
    def steps(self) -> dict[str, TraceStep]:
        """The steps by name, in the order of their first observation."""
        return {name: self.step(name) for name in self._groups}

    def step(self, name: str) -> TraceStep:
        """The step of that name.

        Raises:
            ItemError: when the trace has no such step, naming those it has.
        """
        found = _find_name(self._groups, name)
        if found is None:
            raise ItemError(f"trace {self.raw.get('id')!r} has no step {name!r}; it has {sorted(self._groups)}")
        return TraceStep(found, self._groups[found], self._patterns)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name == "raw":
            raise AttributeError(name)
        if _find_name(self._groups, name) is not None and name not in self.raw:
            return self.step(name)
        return getattr(AttributeMapping(self.raw), name)

    def __dir__(self) -> list[str]:
        return _completable_names([*super().__dir__(), *self._groups, *self.raw])

    def __repr__(self) -> str:
        return f"Trace({self.raw.get('id')!r}, steps: {', '.join(self._groups) or 'none'})"


class TraceCollection(Sequence[Trace]):
    """Traces in order, with loading, saving and filtering."""

    def __init__(self, traces: Iterable[Mapping[str, Any] | Trace], patterns: PromptPatternsBase | None = None) -> None:
        self.patterns = patterns
        self._traces = tuple(each if isinstance(each, Trace) else Trace(each, patterns) for each in traces)

    @classmethod
    def load_json(cls, path: str | os.PathLike[str], patterns: PromptPatternsBase | None = None) -> TraceCollection:
        """Traces from a JSON list, or from JSON Lines.

        Raises:
            SourceError: when the file cannot be read, is neither, or holds something that is no trace.
        """
        where = os.fspath(path)
        try:
            text = Path(path).read_text(encoding="utf-8")
            rows = json.loads(text) if text.lstrip().startswith("[") else list(_lines(text))
        except (OSError, ValueError) as error:
            raise SourceError(f"{where}: cannot be read as traces: {error}") from error
        traces = []
        for number, row in enumerate(rows, 1):
            try:
                traces.append(Trace(row, patterns))
            except ItemError as error:
                raise SourceError(f"{where}: entry {number}: {error}") from error
        return cls(traces, patterns)

    def save_json(self, path: str | os.PathLike[str]) -> None:
        """Write the traces as one JSON list; a file that is there is replaced only when all of it can be written.

        Raises:
            StoreError: when a trace holds what JSON cannot, or the file cannot be written.
        """
        try:
            text = json.dumps([each.raw for each in self], ensure_ascii=False, indent=1)
            data = text.encode()
            create_private_file(path)
            Path(path).write_bytes(data)  # encoded before the file is opened, which empties it
        except (OSError, TypeError, ValueError) as error:
            raise StoreError(f"{os.fspath(path)}: the traces cannot be written: {error}") from error

    def filter_by(self, test: Callable[[Trace], bool] | None = None, **fields: object) -> TraceCollection:
        """The traces that pass `test` and whose own fields equal `fields` (names forgiving, as in dot access)."""

        def keeps(trace: Trace) -> bool:
            own = AttributeMapping(trace.raw)
            return all(own.get(key) == value for key, value in fields.items()) and (test is None or test(trace))

        return TraceCollection((each for each in self if keeps(each)), self.patterns)

    def __getitem__(self, index: int | slice) -> Any:
        return TraceCollection(self._traces[index], self.patterns) if isinstance(index, slice) else self._traces[index]

    def __len__(self) -> int:
        return len(self._traces)

    def __repr__(self) -> str:
        return f"TraceCollection({len(self)} traces)"


def _lines(text: str) -> Iterator[Any]:
    """The values of JSON Lines; empty lines are none."""
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                yield json.loads(line)
            except json.JSONDecodeError as error:
                raise ValueError(f"line {number}, column {error.colno}: {error.msg}") from error
