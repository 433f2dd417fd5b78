"""Values of Python, numpy and pandas as JSON that every database can hold."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from shared.core.clock import iso
from shared.database.schema.column_types import is_encodable

# Sorting refuses keys of mixed types, of which two might become one text; what is refused goes the slow way.
_encode = json.JSONEncoder(allow_nan=False, ensure_ascii=False, sort_keys=True).encode


def to_native(value: object) -> object:
    """A value of numpy or pandas as Python's own, what is missing as None; every other value as it is."""
    name = type(value).__name__
    if name in ("NaTType", "NAType"):
        return None
    if isinstance(value, datetime) and hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return _from_numpy(value)
    return value


def _from_numpy(value: Any) -> object:
    if value.dtype.kind == "M":  # its own tolist gives nanoseconds as a number
        value = value.astype("datetime64[us]")
    elif value.dtype.kind == "m":
        raise ValueError(f"expected seconds as a number, found {describe_value(value)}")
    made = value.tolist()
    return float(made) if type(made) is type(value) else to_native(made)  # long doubles stay what they are


def to_json_text(value: object, parse: bool = True) -> str | None:
    """The value as JSON; a text that looks like a JSON object or list is taken for one when `parse`.

    Raises:
        ValueError: when it cannot be written as JSON, or two keys would become one.
    """
    if parse and isinstance(value, str):
        value = _parse_if_json(value)
    try:
        text = _encode(value)
    except (TypeError, ValueError, RecursionError):
        return _encode_slowly(value)
    if "\\u0000" in text or not is_encodable(text):
        return _encode_slowly(value)
    return None if text == "null" else text


def escape_unstorable(value: str) -> str:
    """A text as every database can hold it: NUL and half a surrogate pair are written as escapes."""
    if "\0" not in value and is_encodable(value):
        return value
    return value.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode()


def _encode_slowly(value: object) -> str | None:
    try:
        made = _to_json_value(value)
        return None if made is None else json.dumps(made, allow_nan=False, ensure_ascii=False)
    except RecursionError as error:
        raise ValueError("nested too deeply, or within itself") from error


def _parse_if_json(text: str) -> object:
    bare = text.strip()
    if bare[:1] + bare[-1:] not in ("{}", "[]"):
        return text
    try:
        return json.loads(bare)
    except (ValueError, RecursionError):  # it only looked like JSON
        return text


def _to_json_value(value: object) -> object:
    """The value of things that JSON has.

    Raises:
        ValueError: when it holds anything else.
    """
    value = to_native(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return escape_unstorable(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return _object(value)
    if isinstance(value, list | tuple):
        return [_to_json_value(each) for each in value]
    return _scalar(value)


def _object(value: Mapping[object, object]) -> dict[str, object]:
    made: dict[str, object] = {}
    for key, inner in value.items():
        name = _key(key)
        if name in made:
            raise ValueError(f"two keys of an object would both be {name!r}")
        made[name] = _to_json_value(inner)
    return made


def _key(key: object) -> str:
    key = to_native(key)
    if isinstance(key, str):
        return escape_unstorable(key)
    if key is None or isinstance(key, bool | int | float):
        return json.dumps(key)
    raise ValueError(f"expected keys that are texts, found {describe_value(key)}")


def _scalar(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat()
    if isinstance(value, date | UUID):
        return str(value)
    if isinstance(value, Decimal):
        return _decimal(value)
    raise ValueError(f"expected a value that JSON has, found {describe_value(value)}")


def _decimal(value: Decimal) -> float | int | None:
    if not value.is_finite():
        return None
    if value == value.to_integral_value() and abs(value) < Decimal(2) ** 63:
        return int(value)
    if Decimal(repr(float(value))) == value:
        return float(value)
    raise ValueError(f"{value!r} has more digits than a JSON number keeps; give it as a text")


def describe_value(value: object) -> str:
    """The value and its type, short enough for a message."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list within itself
        text = "..."
    return f"{type(value).__name__} {text if len(text) <= 200 else text[:200] + '...'}"
