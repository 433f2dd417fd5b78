"""`DatasetItem`: one case to judge. It is what extractors make, metrics read and stores keep."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any

from shared.core.clock import as_utc, parse_time
from shared.core.conversation import Conversation, ToolCall, parse_conversation, parse_tool_call
from shared.core.digests import digest, to_plain
from shared.core.errors import ItemError
from shared.core.registry import nearest_name

UNKNOWN_ENVIRONMENT = "?"
"""The environment of an item whose source does not name one; no environment has this name."""


@dataclass(frozen=True, slots=True)
class DatasetItem:
    """One case to judge.

    Everything is optional; a metric whose input is missing is *not applicable*, not wrong. An empty `id` is replaced
    by a stable one made of the content; one that cannot be stored raises `ItemError`. `latency` is in seconds,
    `token_logprobs` are natural logarithms (<= 0), `source_timestamp` is UTC (a naive one is taken as UTC),
    `actual_ranking` and `expected_ranking` hold dicts with at least `id`, best first. For a conversation without a
    `query` the query is its last message of the user (`extraction: first` takes the first), and likewise the actual
    output is its last answer. `trace_environment` is filled in where the source's record names its environment.
    """

    id: str = ""
    query: str | None = None
    actual_output: str | None = None
    expected_output: str | None = None
    retrieved_content: tuple[str, ...] | None = None
    negatives: tuple[str, ...] | None = None
    conversation: Conversation | None = None
    extraction: str = "last"
    token_logprobs: tuple[float, ...] | None = None
    latency: float | None = None
    acceptance_criteria: tuple[str, ...] | None = None
    actual_ranking: tuple[Mapping[str, Any], ...] | None = None
    expected_ranking: tuple[Mapping[str, Any], ...] | None = None
    tools_called: tuple[ToolCall, ...] | None = None
    expected_tools: tuple[ToolCall, ...] | None = None
    document_text: str | None = None
    judgment: str | int | None = None
    critique: str | None = None
    additional_input: Mapping[str, Any] = field(default_factory=dict)
    additional_output: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    user_tags: tuple[str, ...] = ()
    source_timestamp: datetime | None = None
    trace_id: str | None = None
    session_id: str | None = None
    observation_id: str | None = None
    trace: Mapping[str, Any] | None = None
    trace_environment: str = field(default=UNKNOWN_ENVIRONMENT, compare=False)

    def __post_init__(self) -> None:
        talk = self.conversation
        if talk is not None:
            pick = 0 if self.extraction == "first" else -1
            _fill_field(self, "query", talk.texts("user"), pick)
            _fill_field(self, "actual_output", talk.texts("assistant"), pick)
            if talk.reference_text is not None:
                object.__setattr__(self, "expected_output", talk.reference_text)
            if self.tools_called is None:  # the whole talk is here: no call in it means that none was made
                object.__setattr__(self, "tools_called", talk.tool_calls)
        if self.source_timestamp is not None:
            object.__setattr__(self, "source_timestamp", as_utc(self.source_timestamp))
        if not self.id:
            object.__setattr__(self, "id", content_id(self))
        elif not is_storable(self.id):
            raise ItemError(f"id {self.id!r}: expected a text that can be stored (Unicode, without NUL)")

    @property
    def inputs(self) -> dict[str, Any]:
        """What the application was given: query, gold answer, sources, and the additional input's own keys."""
        known = {"query": self.query, "gold": self.expected_output, "sources": self.retrieved_content}
        return {key: value for key, value in known.items() if value is not None} | dict(self.additional_input)

    @property
    def has_errors(self) -> bool | None:
        """Whether a tool answered with an error; None when there is no conversation."""
        return None if self.conversation is None else self.conversation.has_errors

    def get(self, path: str) -> Any:
        """The value at a dotted path such as `metadata.channel`; None where something on the way is missing."""
        value: Any = self
        for step in path.split("."):
            value = value.get(step) if isinstance(value, Mapping) else getattr(value, step, None)
            if value is None:
                return None
        return value

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values of every field that is not at its default; `from_dict` reads it back to an equal item. What
        the source adds to an item (`trace_environment`) is not among them.
        """
        every = zip(FIELDS, _values(self), DEFAULTS, strict=False)
        return {name: to_plain(value) for name, value, usual in every if value is not usual and value != usual}

    @property
    def values(self) -> tuple[Any, ...]:
        """Every field's value, in order: `DatasetItem(*item.values)` is an equal item."""
        return _values(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> DatasetItem:
        """An item from plain values; older field names are accepted too (see `ALIASES`).

        Raises:
            ItemError: naming the field, what was found and what was expected.
        """
        values: dict[str, Any] = {}
        for key, value in raw.items():
            name = ALIASES.get(key, key)
            if name not in _READ:
                close = nearest_name(str(key), _READ)
                meant = f" Did you mean {close!r}?" if close else ""
                raise ItemError(f"an item has no field {key!r}; put values of your own under 'metadata'.{meant}")
            if value is None or (name in values and name != key):
                continue
            values[name] = coerce(name, value)
        return cls(**values)


_ALL = tuple(each.name for each in dataclasses.fields(DatasetItem))

FIELDS = _ALL[:-1]
"""Every field of the case, in order; `trace_environment`, the last, is the source's."""

DEFAULTS = tuple(
    each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
    for each in dataclasses.fields(DatasetItem)
)

_values: Callable[[DatasetItem], tuple[Any, ...]] = attrgetter(*_ALL)

CONTENT_FIELDS = tuple(
    name
    for name in FIELDS
    if name not in ("id", "source_timestamp", "trace_id", "session_id", "observation_id", "trace", "extraction")
)
"""The fields that make two items the same case, whatever their ids and times."""

ALIASES: Mapping[str, str] = {
    "dataset_id": "id",
    "single_turn_query": "query",
    "single_turn_expected_output": "expected_output",
    "multi_turn_conversation": "conversation",
    "conversation_extraction_strategy": "extraction",
    "dataset_metadata": "metadata",
    "actual_reference": "actual_ranking",
    "expected_reference": "expected_ranking",
    "gold": "expected_output",
    "sources": "retrieved_content",
    "timestamp": "source_timestamp",
}
"""Names that users' files have today -> ours."""


def coerce(name: str, value: object) -> Any:
    """A plain value as the field `name` holds it; None stays None.

    Raises:
        ItemError: naming the field, what was found and what was expected.
    """
    if value is None:
        return None
    try:
        return _READ[name](value)
    except (ValueError, TypeError, AttributeError, OverflowError) as error:
        raise ItemError(f"field {name!r}: {error}") from error


def content_id(item: DatasetItem) -> str:
    """A stable id from the content: `content-` and 32 hexadecimal digits; equal content gives an equal id."""
    return "content-" + digest({name: getattr(item, name) for name in CONTENT_FIELDS})[:32]


def is_storable(item_id: object) -> bool:
    """Whether stores can hold an id: valid Unicode without NUL."""
    if not isinstance(item_id, str) or "\0" in item_id:
        return False
    return item_id.isascii() or not any("\ud800" <= each <= "\udfff" for each in item_id)


def _fill_field(item: DatasetItem, name: str, texts: Sequence[str], pick: int) -> None:
    if getattr(item, name) is None and texts:
        object.__setattr__(item, name, texts[pick])


def _read_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int | float | bool):
        return str(value)
    if isinstance(value, Mapping | list):
        return json.dumps(value, ensure_ascii=False, default=str)
    raise ValueError(f"expected a text, found {type(value).__name__} {value!r}")


def _read_texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, Sequence):
        raise ValueError(f"expected a list of texts, found {type(value).__name__} {value!r}")
    return tuple(_read_text(each) for each in value)


def _read_mapping(value: object) -> dict[str, Any]:
    parsed = json.loads(value) if isinstance(value, str) else value
    if not isinstance(parsed, Mapping):
        raise ValueError(f"expected a mapping, found {type(parsed).__name__} {parsed!r}")
    return dict(parsed)


def _read_list(value: object) -> Sequence[Any]:
    """A list, also from its JSON text as CSV files hold it; a text is never taken for a list of letters."""
    parsed = json.loads(value) if isinstance(value, str) else value
    if isinstance(parsed, str) or not isinstance(parsed, Sequence):
        raise ValueError(f"expected a list, found {type(parsed).__name__} {parsed!r}")
    return parsed


def _read_logprobs(value: object) -> tuple[float, ...]:
    numbers = tuple(float(each) for each in _read_list(value) if each is not None)
    wrong = next((each for each in numbers if math.isnan(each) or each > 1e-6), None)
    if wrong is not None:
        raise ValueError(f"expected natural-log probabilities (<= 0), found {wrong!r}")
    return tuple(min(each, 0.0) for each in numbers)  # a probability of 1 may come rounded to a little more


def _read_seconds(value: Any) -> float:
    number = float(value)
    if not (number >= 0 and math.isfinite(number)):
        raise ValueError(f"expected seconds >= 0, found {value!r}")
    return number


def _read_ranking(value: object) -> tuple[Mapping[str, Any], ...]:
    entries = tuple({"id": each} if isinstance(each, str | int) else _read_mapping(each) for each in _read_list(value))
    wrong = next((each for each in entries if "id" not in each), None)
    if wrong is not None:
        raise ValueError(f"expected entries with an 'id', found {wrong!r}")
    return entries


def _read_tools(value: object) -> tuple[ToolCall, ...]:
    return tuple(ToolCall(each) if isinstance(each, str) else parse_tool_call(each) for each in _read_list(value))


def _read_extraction(value: object) -> str:
    if value not in ("first", "last"):
        raise ValueError(f"expected 'first' or 'last', found {value!r}")
    return str(value)


def _read_judgment(value: object) -> str | int:
    return value if isinstance(value, int) else _read_text(value)


_TEXTS = ("retrieved_content", "negatives", "acceptance_criteria", "user_tags")
_MAPPINGS = ("additional_input", "additional_output", "metadata", "trace")
_READ: Mapping[str, Callable[[Any], Any]] = {
    **dict.fromkeys(_ALL, _read_text),
    **dict.fromkeys(_TEXTS, _read_texts),
    **dict.fromkeys(_MAPPINGS, _read_mapping),
    **dict.fromkeys(("actual_ranking", "expected_ranking"), _read_ranking),
    **dict.fromkeys(("tools_called", "expected_tools"), _read_tools),
    "conversation": parse_conversation,
    "extraction": _read_extraction,
    "token_logprobs": _read_logprobs,
    "latency": _read_seconds,
    "source_timestamp": parse_time,
    "judgment": _read_judgment,
}
