"""What a value of a dataframe or a record becomes in a column: one function for each kind of column.

What is missing (None, NaN, NaT, NA) and what is no number (infinity) is NULL, also deep inside JSON. Text that no
database can hold (NUL, half a surrogate pair) is written as an escape. A value that would be another one when it is
read again is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Literal
from uuid import UUID

from shared.core.clock import iso, parse_time
from shared.database.schema.column_types import is_encodable
from shared.database.upload.json_values import describe_value, escape_unstorable, to_json_text, to_native

Kind = Literal[
    "json", "float", "small", "int", "big", "bool", "number", "id", "text", "moment", "naive", "date", "other"
]
"""`id`: a text that is part of a key; `moment`: a time with zone, `naive`: one without, in UTC; `other`: what only the
server knows, given to it as text.
"""

Cell = Callable[[object], object]

_NUMERAL = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
_NO_NUMBERS = frozenset({"", "nan", "na", "n/a", "none", "null", "inf", "+inf", "-inf", "infinity", "-infinity"})
_BITS = {"small": 15, "int": 31, "big": 63}
_DIGITS = 19


def find_conversion(kind: Kind) -> Cell:
    """The function that makes a value fit for a column of the kind; it answers None for NULL.

    It raises ValueError, saying what was found and what was expected, for a value that the column cannot hold.
    """
    return _CELLS[kind]


def fits(kind: Kind, values: Sequence[Any]) -> bool:
    """Whether every value of a column may stay as it is: told for whole columns at a time, which takes a tenth of the
    time that asking for each value does. False when it would have to be asked.
    """
    types = set(map(type, values))
    if types == {str} and kind in ("id", "text"):
        together = "".join(values)
        return "\0" not in together and is_encodable(together)
    if types == {float} and kind == "float":
        return math.isfinite(sum(values))
    return (types == {bool} and kind == "bool") or (types == {type(None)} and kind != "id")


def _json(value: object) -> str | None:
    return None if value is None else to_json_text(value)


def _float(value: object) -> float | None:
    found = value if type(value) is float else _numeric(value)
    try:
        return float(found) if found is not None and math.isfinite(found) else None
    except OverflowError as error:
        raise ValueError(f"{describe_value(found)} is too large for a number of 8 bytes") from error


def _numeric(value: object) -> float | Decimal | None:
    """A number, None for what is missing."""
    value = to_native(value)
    if value is None or isinstance(value, bool | int | float | Decimal):
        return value
    if isinstance(value, str):
        if value.strip().lower() in _NO_NUMBERS:
            return None
        if _NUMERAL.fullmatch(value):
            return Decimal(value.strip())
    raise ValueError(f"expected a number, found {describe_value(value)}")


def _number(value: object) -> Decimal | int | None:
    found = _numeric(value)
    if found is None or isinstance(found, int):
        return None if found is None else int(found)
    exact = Decimal(repr(found)) if isinstance(found, float) else found
    return exact if exact.is_finite() else None


def _whole(kind: str) -> Cell:
    limit = 1 << _BITS[kind]

    def whole(value: object) -> int | None:
        if type(value) is not int:
            value = _number(value)
            if value is None:
                return None
            if isinstance(value, Decimal) and value.adjusted() > _DIGITS:  # written out, 1e9999999 takes minutes
                raise ValueError(f"{describe_value(value)} is too large for a whole number of {_BITS[kind] + 1} bits")
            if value != int(value):
                raise ValueError(f"expected a whole number, found {describe_value(value)}")
            value = int(value)
        if not -limit <= value < limit:
            raise ValueError(f"{describe_value(value)} is too large for a whole number of {_BITS[kind] + 1} bits")
        return int(value)

    return whole


def _bool(value: object) -> bool | None:
    if value is True or value is False:
        return bool(value)
    value = to_native(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    known = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False, "": None}
    found = str(value).strip().lower()
    if found not in known:
        raise ValueError(f"expected true or false, found {describe_value(value)}")
    return known[found]


def _text(value: object) -> str | None:
    if type(value) is str:
        return escape_unstorable(value)
    value = to_native(value)
    if value is None or isinstance(value, str):
        return None if value is None else escape_unstorable(value)
    if isinstance(value, float | Decimal) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping | list | tuple):
        return to_json_text(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso(value) if value.tzinfo else value.isoformat()
    if isinstance(value, int | float | Decimal | date | UUID):
        return str(value)
    raise ValueError(f"expected a text, found {describe_value(value)}")


def _id(value: object) -> str:
    text = _text(value)
    if text is None or (isinstance(value, str) and text != value):
        raise ValueError(f"expected a text that can be a key (Unicode, without NUL), found {describe_value(value)}")
    return text


def _moment(value: object) -> datetime | None:
    value = to_native(value)
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(value, str) and value.strip().lower() in ("", "nat", "none", "null"):
        return None
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    try:
        return parse_time(value)
    except OverflowError as error:  # year 1 or 9999, in a zone that puts it outside
        found = describe_value(value)
        raise ValueError(f"expected a time between the years 1 and 9999 in UTC, found {found}") from error


def _naive(value: object) -> datetime | None:
    moment = _moment(value)
    return None if moment is None else moment.replace(tzinfo=None)


def _date(value: object) -> date | None:
    moment = _moment(value)
    if moment is None:
        return None
    if moment.replace(hour=0, minute=0, second=0, microsecond=0) != moment:
        raise ValueError(f"expected a day, found {describe_value(value)}")
    return moment.date()


def _other(value: object) -> str | None:
    value = to_native(value)
    return None if value is None or value != value else _text(value)


_CELLS: Mapping[Kind, Cell] = {
    "json": _json,
    "float": _float,
    "small": _whole("small"),
    "int": _whole("int"),
    "big": _whole("big"),
    "bool": _bool,
    "number": _number,
    "id": _id,
    "text": _text,
    "moment": _moment,
    "naive": _naive,
    "date": _date,
    "other": _other,
}
