"""OTLP trace requests as protobuf, read without a library: the few messages that spans are made of."""

from __future__ import annotations

import struct
from collections import defaultdict
from typing import Any

from tests.langfuse.fake_server.wire import refusal

Fields = dict[int, list[Any]]


def fields(data: bytes) -> Fields:
    """A message's values by field number: bytes for what has a length, int for numbers (fixed ones too)."""
    found: Fields = defaultdict(list)
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, kind = tag >> 3, tag & 7
        if kind == 0:
            value: Any
            value, place = _varint(data, place)
        elif kind == 2:
            size, place = _varint(data, place)
            value, place = data[place : place + size], place + size
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
            value, place = int.from_bytes(data[place : place + size], "little"), place + size
        else:
            raise refusal(400, "Failed to parse OTel Protobuf Trace")
        found[number].append(value)
    return found


def spans(data: bytes) -> list[dict[str, Any]]:
    """The spans of an ExportTraceServiceRequest, in the shape of its JSON form."""
    found = []
    for resource in fields(data)[1]:
        for scope in fields(resource)[2]:
            found += [_span(fields(span)) for span in fields(scope)[2]]
    return found


def _span(found: Fields) -> dict[str, Any]:
    status = fields(found[15][0]) if found[15] else {}
    return {
        "traceId": _first(found, 1, b"").hex(),
        "spanId": _first(found, 2, b"").hex(),
        "parentSpanId": _first(found, 4, b"").hex() or None,
        "name": _first(found, 5, b"").decode(),
        "start": int(_first(found, 7, 0)),
        "end": int(_first(found, 8, 0)),
        "attributes": _attributes(found[9]),
        "error": bool(status) and _first(status, 3, 0) == 2,
    }


def _attributes(pairs: list[bytes]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        inner = fields(pair)
        found[_first(inner, 1, b"").decode()] = _value(fields(_first(inner, 2, b"")))
    return found


def _value(found: Fields) -> Any:
    if found[1]:
        return found[1][0].decode()
    if found[2]:
        return bool(found[2][0])
    if found[3]:
        number = int(found[3][0])
        return number - (1 << 64) if number >> 63 else number
    if found[4]:
        return struct.unpack("<d", found[4][0].to_bytes(8, "little"))[0]
    if found[5]:
        return [_value(fields(each)) for each in fields(found[5][0])[1]]
    return _attributes(fields(found[6][0])[1]) if found[6] else None


def _first(found: Fields, number: int, default: Any) -> Any:
    return found[number][0] if found.get(number) else default


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data):
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
        shift += 7
    raise refusal(400, "Failed to parse OTel Protobuf Trace")
