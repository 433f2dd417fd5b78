"""The structured `filter` of reads: a JSON list of conditions."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from tests.langfuse.fake_server.wire import format_time, parse_moment, refusal

Test = Callable[[Mapping[str, Any]], bool]

_TYPES = {
    "datetime": {">", "<", ">=", "<="},
    "string": {"=", "contains", "does not contain", "starts with", "ends with", "matches"},
    "stringOptions": {"any of", "none of"},
    "categoryOptions": {"any of", "none of"},
    "arrayOptions": {"any of", "none of", "all of"},
    "number": {"=", ">", "<", ">=", "<="},
    "stringObject": {"=", "contains", "does not contain", "starts with", "ends with", "matches"},
    "numberObject": {"=", ">", "<", ">=", "<="},
    "boolean": {"=", "<>"},
    "null": {"is null", "is not null"},
}
_COLUMNS = {
    *("id", "type", "name", "traceId", "startTime", "endTime", "environment", "level", "statusMessage", "version"),
    *("userId", "sessionId", "isRootObservation", "traceName", "traceTags", "tags", "latency", "timeToFirstToken"),
    *("totalCost", "model", "promptName", "promptVersion", "input", "output", "metadata"),
}
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda found, value: bool(found == value),
    "<>": lambda found, value: bool(found != value),
    ">": lambda found, value: found is not None and bool(found > value),
    "<": lambda found, value: found is not None and bool(found < value),
    ">=": lambda found, value: found is not None and bool(found >= value),
    "<=": lambda found, value: found is not None and bool(found <= value),
    "contains": lambda found, value: value in (found or ""),
    "does not contain": lambda found, value: value not in (found or ""),
    "starts with": lambda found, value: (found or "").startswith(value),
    "ends with": lambda found, value: (found or "").endswith(value),
    "matches": lambda found, value: value.lower() in (found or "").lower(),
    "is null": lambda found, _: found in (None, ""),
    "is not null": lambda found, _: found not in (None, ""),
}
_SETS: dict[str, Callable[[set[Any], set[Any]], bool]] = {
    "any of": lambda found, value: bool(found & value),
    "none of": lambda found, value: not found & value,
    "all of": lambda found, value: value <= found,
}


def matcher(text: str) -> Test:
    """What a filter keeps; 400 for one that the server would not take."""
    try:
        conditions = json.loads(text)
    except ValueError:
        raise refusal(400, "Invalid filter: not JSON") from None
    if not isinstance(conditions, list):
        raise refusal(400, "Invalid filter: expected array")
    tests = [_condition(each) for each in conditions]
    texts = [each for each in conditions if each["column"] in ("input", "output")]
    if texts and not any(each["operator"] in ("=", "matches") for each in texts):
        raise refusal(400, "input and output filters need at least one '=' or 'matches'")
    return lambda row: all(test(row) for test in tests)


def _condition(found: Any) -> Test:
    kind, column, operator = (found.get(name) for name in ("type", "column", "operator"))
    if column not in _COLUMNS or operator not in _TYPES.get(kind, ()):
        raise refusal(400, f"Invalid filter: {kind} {column} {operator}")
    if kind in ("stringObject", "numberObject", "categoryOptions") and "key" not in found:
        raise refusal(400, f"Invalid filter: {kind} needs a key")
    key, value = found.get("key"), found.get("value")
    if kind == "datetime":
        value = format_time(parse_moment(str(value)))
    column = "tags" if column == "traceTags" else column

    def looked_up(row: Mapping[str, Any]) -> Any:
        inner = row.get(column)
        return (inner or {}).get(key) if key is not None else inner

    if operator in _SETS:
        wanted = set(value or ())
        return lambda row: _SETS[operator](_as_set(looked_up(row)), wanted)
    return lambda row: _COMPARE[operator](looked_up(row), value)


def _as_set(value: Any) -> set[Any]:
    return set(value) if isinstance(value, list) else {value}
