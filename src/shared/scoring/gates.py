"""Gates: the least or the most that a metric's estimate may be before a run counts as not good enough."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

from shared.core.errors import ConfigError
from shared.core.results import Estimate

Bound = Literal["estimate", "lower_bound", "upper_bound"]
GateSpan = Literal["run", "24h"]
GateValue = Literal["pass_rate", "mean"]

_CONDITION = re.compile(r"\s*(?P<metric>.+?)\s*(?P<sign><=|>=|<|>)\s*(?P<limit>[-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)\s*")
_SPANS = {"run": "this run", "24h": "the last 24 hours"}
_BOUNDS = {"estimate": "", "lower_bound": "lower bound of the ", "upper_bound": "upper bound of the "}


class Gate(NamedTuple):
    """What is expected of a metric. `least` is missed from below and `most` from above, also at the limit itself where
    `strict`. `value` None: the pass rate, or the mean of a metric without a threshold.
    """

    metric: str
    least: float | None = None
    most: float | None = None
    of: Bound = "estimate"
    on: GateSpan = "run"
    value: GateValue | None = None
    strict: bool = False


class GateResult(NamedTuple):
    """A gate against an estimate: which of its values was checked, whether it passed, and the sentence that says so."""

    metric: str
    value: GateValue
    passed: bool
    sentence: str


def check_targets(results: Sequence[GateResult]) -> dict[tuple[str, str], bool]:
    """Whether each value (`mean`, `pass_rate`) of a metric that has gates passed all of them."""
    targets: dict[tuple[str, str], bool] = {}
    for each in results:
        targets[each.metric, each.value] = each.passed and targets.get((each.metric, each.value), True)
    return targets


def parse_condition(text: str) -> Gate:
    """The gate that fails a run when the condition holds, such as `Helpful < 0.8`.

    Raises:
        ConfigError: for any other text.
    """
    found = _CONDITION.fullmatch(text)
    try:
        limit = float(found["limit"]) if found else None
    except ValueError:
        limit = None
    if found is None or limit is None:
        raise ConfigError(f"--fail-on {text!r}: expected a metric, <, <=, > or >=, and a number, as in 'Helpful < 0.8'")
    low, strict = found["sign"].startswith("<"), found["sign"].endswith("=")
    return Gate(found["metric"], limit if low else None, None if low else limit, strict=strict)


def check_gate(gate: Gate, estimate: Estimate | None) -> GateResult | None:
    """Whether an estimate passes a gate; None where there is nothing to check."""
    if estimate is None:
        return None
    value: GateValue = gate.value or ("mean" if estimate.pass_rate is None else "pass_rate")
    numbers = (estimate.mean, estimate.mean_low, estimate.mean_high)
    if value == "pass_rate":
        numbers = (estimate.pass_rate, estimate.pass_low, estimate.pass_high)
    found = numbers[("estimate", "lower_bound", "upper_bound").index(gate.of)]
    if found is None:
        return None
    missed = _is_missed(gate, found)
    name = "pass rate" if value == "pass_rate" else "mean"
    limits = [("at least", gate.least, "more than"), ("at most", gate.most, "less than")]
    named = [(strict if gate.strict else at, limit) for at, limit, strict in limits if limit is not None]
    expected = " and ".join(f"{words} {limit:g}" for words, limit in named)
    what = f"the {_BOUNDS[gate.of]}{name} of {gate.metric} is {found:.3g} in {_SPANS[gate.on]}, expected {expected}"
    return GateResult(gate.metric, value, not missed, f"gate {'failed' if missed else 'passed'}: {what}")


def check_gates(
    gates: Sequence[Gate], run: Sequence[Estimate], recent: Mapping[str, Estimate]
) -> tuple[tuple[GateResult, ...], tuple[str, ...]]:
    """Each gate's result, from the run's estimates and those of the last 24 hours; and a note about each that could not
    be checked.
    """
    of_run = {each.label: each for each in run}
    found: list[GateResult] = []
    notes: list[str] = []
    for gate in gates:
        result = check_gate(gate, (of_run if gate.on == "run" else recent).get(gate.metric))
        if result is None:
            notes.append(f"the gate of {gate.metric} was not checked: there is no estimate in {_SPANS[gate.on]}")
        else:
            found.append(result)
    return tuple(found), tuple(notes)


def _is_missed(gate: Gate, found: float) -> bool:
    below = gate.least is not None and (found < gate.least or (gate.strict and found == gate.least))
    return below or (gate.most is not None and (found > gate.most or (gate.strict and found == gate.most)))
