"""Digests: identity by content, never by name alone.

A *content digest* covers what is read of an item, a *metric digest* covers class, version and parameters. Both are
SHA-256 over canonical JSON (sorted keys, no spaces, UTF-8), so equal values give equal digests in every process.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import uuid
from collections.abc import Iterable, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from shared.core.clock import iso

_NAMESPACE = uuid.UUID("6f6b7a0e-8f3c-5d0a-9f51-7d5a3c1e2b44")

_PLAIN = frozenset((str, int, float, bool, type(None)))


def to_plain(value: object) -> Any:
    """The value as JSON can hold it: records become dicts, times ISO texts, sets sorted lists, the rest its repr."""
    if type(value) in _PLAIN or isinstance(value, int | float | str):
        return value
    if isinstance(value, date):  # datetime is one too
        return iso(value) if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): to_plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return sorted((to_plain(inner) for inner in value), key=repr)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    return _foreign_to_plain(value)


def _foreign_to_plain(value: object) -> object:
    """Values of other libraries: numpy's as what they hold, decimals as numbers, the rest its repr."""
    if isinstance(value, Decimal):
        return float(value)
    listed = getattr(value, "tolist", None)
    return to_plain(listed()) if callable(listed) else repr(value)


def canonical_json(value: object) -> str:
    """Canonical JSON of any value: sorted keys, no spaces, non-ASCII kept."""
    return json.dumps(to_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """SHA-256 of the canonical JSON of `value`, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def content_digest(item: object, fields: Iterable[str]) -> str:
    """Digest of the named top-level fields of an item: what some set of metrics reads of it."""
    return digest({name: getattr(item, name) for name in sorted(set(fields))})


def metric_digest(name: str, version: str, params: Mapping[str, object]) -> str:
    """Digest of what makes a metric give its scores: class, version and parameters."""
    return digest({"class": name, "version": version, "params": params})


def stable_id(*parts: object) -> str:
    """A deterministic UUID (version 5) of the parts: the same parts give the same id in every process."""
    return str(uuid.uuid5(_NAMESPACE, canonical_json(parts)))


def unit_interval(salt: str, key: str) -> float:
    """A number in [0, 1) from SHA-256 of `salt` and `key`: the same everywhere, uniform over keys.

    The first 53 bits of the hash are used, as many as a float holds exactly.
    """
    raw = hashlib.sha256(f"{salt}\x00{key}".encode("utf-8", "surrogatepass")).digest()
    return (int.from_bytes(raw[:8], "big") >> 11) / 9007199254740992.0
