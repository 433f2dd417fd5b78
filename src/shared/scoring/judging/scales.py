"""Scales of verdicts, and what a verdict on them is worth from 0 (worst) to 1 (best).

1-10        whole numbers (any two bounds, such as 1-5): (raw - lowest) / (highest - lowest)
0-1         any number from 0 to 1: itself
pass_fail   "pass" is 1, "fail" is 0
a list      names from worst to best, evenly spaced: the first is 0, the last is 1
a mapping   names with a value from 0 to 1 each
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from shared.core.errors import ConfigError

_RANGE = re.compile(r"\A(\d{1,4})\s*-\s*(\d{1,4})\Z")
_EXPECTED = "expected 1-10 (or other whole bounds), 0-1, pass_fail, a list of names from worst to best, or name: value"
_HUNDREDTHS = 100
_LISTED = 21  # values of a scale that are named one by one in its schema


@dataclass(frozen=True, slots=True)
class Scale:
    """One scale. `schema` is that of a verdict's JSON; `words` tell the judge; `values` map each verdict that has a
    name or is a whole number to its worth, empty for the continuous scale.
    """

    schema: Mapping[str, Any]
    words: str
    values: Mapping[str | int, float]

    def value(self, raw: Any) -> float:
        """A verdict that fits the schema, from 0 to 1."""
        return self.values[raw] if self.values else float(raw)

    @property
    def has_names(self) -> bool:
        """Whether its verdicts are names, of which one is voted for, instead of numbers, which have a mean."""
        return bool(self.schema["type"] == "string")

    @property
    def literals(self) -> dict[str, float]:
        """Verdicts as they are written in JSON, and their worth: what a token of the judge's can be the start of."""
        if self.values:
            return {json.dumps(raw, ensure_ascii=False): value for raw, value in self.values.items()}
        parts = {f"{number / _HUNDREDTHS:.2f}": number / _HUNDREDTHS for number in range(_HUNDREDTHS + 1)}
        tenths = {text[:-1]: value for text, value in parts.items() if text.endswith("0")}
        return {"0": 0.0, "1": 1.0} | tenths | parts


def parse_scale(given: object) -> Scale:
    """The scale that a configuration names.

    Raises:
        ConfigError: saying what was found and what was expected.
    """
    if given is None:
        raise ConfigError(f"'scale' is missing; {_EXPECTED}")
    if isinstance(given, Mapping):
        return _category_scale(dict(given))
    if isinstance(given, Sequence) and not isinstance(given, str):
        return _category_scale(_space_evenly(list(given)))
    if given in ("pass_fail", "pass/fail"):
        return _category_scale({"fail": 0.0, "pass": 1.0})
    bounds = _RANGE.match(str(given).strip())
    if bounds is None:
        raise ConfigError(f"scale: found {given!r}; {_EXPECTED}")
    return _numeric_scale(int(bounds.group(1)), int(bounds.group(2)))


def _numeric_scale(low: int, high: int) -> Scale:
    if high <= low:
        raise ConfigError(f"scale: found '{low}-{high}'; expected the lower bound first")
    if (low, high) == (0, 1):
        return Scale(
            {"type": "number", "minimum": 0, "maximum": 1},
            "a number from 0 (worst) to 1 (best), with up to two decimals",
            {},
        )
    values: dict[str | int, float] = {raw: (raw - low) / (high - low) for raw in range(low, high + 1)}
    words = f"a whole number from {low} (worst) to {high} (best)"
    bounds: dict[str, Any] = {"type": "integer", "minimum": low, "maximum": high}
    # Named one by one too: some servers keep to a list of values, but not to bounds.
    return Scale(bounds | ({"enum": list(values)} if len(values) <= _LISTED else {}), words, values)


def _space_evenly(names: list[Any]) -> dict[Any, float]:
    if len(set(map(str, names))) != len(names) or len(names) < 2:
        raise ConfigError(f"scale: found {names!r}; expected at least two different names, from worst to best")
    return {name: place / (len(names) - 1) for place, name in enumerate(names)}


def _category_scale(values: Mapping[Any, Any]) -> Scale:
    for name, value in values.items():
        if not isinstance(name, str) or not name.strip() or not name.isprintable():
            raise ConfigError(
                f"scale: found the name {name!r}; expected a text (in quotes, if YAML reads another type)"
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(f"scale: {name!r} has the value {value!r}; expected a number from 0 to 1")
    if len(values) < 2:
        raise ConfigError(f"scale: found {dict(values)!r}; expected at least two names")
    if len(set(values.values())) < 2:
        raise ConfigError(f"scale: all names of {dict(values)!r} have one value; expected at least two different ones")
    names = [str(name) for name in values]
    words = "one of " + ", ".join(f'"{name}"' for name in names)
    return Scale({"type": "string", "enum": names}, words, {str(name): float(value) for name, value in values.items()})
