"""The block `alerts`: which metrics are watched from run to run, and how many false alarms are allowed in all."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, SecretStr, WithJsonSchema, field_validator, model_validator

from shared.core.registry import hint
from shared.core.state.alert_records import AlertPlan, AlertRule, Sides
from shared.wiring.config.checker import StrictModel
from shared.wiring.config.gates_config import check_metric_name
from shared.wiring.config.maintenance_config import MaintenanceConfig, parse_span

_BUDGET = re.compile(r"\s*([0-9.]+)\s+per\s+([0-9.]+)\s*d\s*")
_DAYS = re.compile(r"\s*([0-9.]+)\s*d\s*")
_SHARE = re.compile(r"\s*[+-]?([0-9.]+)\s*%\s*")
_LONGEST_BASELINE = 28.0  # days: hours are read 40 days back


def _parse_days(value: object) -> object:
    found = _DAYS.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else float(found[1])


def _parse_share(value: object) -> object:
    found = _SHARE.fullmatch(value) if isinstance(value, str) else None
    return value if found is None else float(found[1]) / 100


_SPELLED = WithJsonSchema({"type": ["string", "number"]})
Days = Annotated[float, BeforeValidator(_parse_days), _SPELLED]
Share = Annotated[float, BeforeValidator(_parse_share), _SPELLED]


def parse_budget(text: str) -> tuple[float, float]:
    """How many false alarms in how many days, such as `0.1 per 30d`.

    Raises:
        ValueError: for anything else, and for a budget of nothing, which no rule could keep.
    """
    found = _BUDGET.fullmatch(text)
    budget, days = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if budget <= 0 or days <= 0:
        raise ValueError(f"expected false alarms and days, both above 0, such as '0.1 per 30d', found {text!r}")
    return budget, days


def _reach(below: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """All that a metric inhibits, directly or through others."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        new = set(below.get(waiting.pop(), ())) - found
        found |= new
        waiting += new
    return found


class AlertRuleConfig(StrictModel):
    """One metric that is watched."""

    metric: str = Field(description="the name of a metric, or of a combined metric")
    direction: Sides = Field(default="moves", description="rises, falls, or moves: either")
    effect: Share = Field(
        default=0.1, gt=0, lt=10, description="the least change that is alerted, as a share of what is expected: 10%"
    )
    baseline: Days = Field(
        default=7.0, ge=2, le=_LONGEST_BASELINE, description="days that show what is expected: 2d to 28d"
    )
    severity: str = Field(default="warning", min_length=1, max_length=40, description="a word of your own")
    inhibits: list[str] = Field(
        default_factory=list, description="watched metrics whose alerts are not told while this one is alerted"
    )


class AlertsConfig(StrictModel):
    """What is watched, and when it is told."""

    rules: list[AlertRuleConfig] = Field(min_length=1, description="the metrics that are watched, each once")
    false_alarm_budget: str = Field(
        default="0.1 per 30d", description="false alarms of all rules together that are allowed, in how many days"
    )
    settle_minutes: float = Field(
        default=60.0, ge=0, le=10_080, description="an hour is looked at so long after its end: records may come late"
    )
    silent_gaps: float = Field(
        default=3.0, ge=0, le=1000, description="no data for so many usual gaps is an alert; 0: never"
    )
    maintenance: list[MaintenanceConfig] = Field(
        default_factory=list, description="times of which nothing is watched and in which nobody is told"
    )
    renotify: str | None = Field(
        default=None, description="people are told again of an open alert after 24h; null: never"
    )
    heartbeat_url: SecretStr = Field(
        default=SecretStr(""), description="the address that `trueline alerts CONFIG heartbeat` asks for"
    )
    fail: bool = Field(default=False, description="a run ends with exit code 5 while an alert is open")

    @model_validator(mode="before")
    @classmethod
    def _a_list_is_of_rules(cls, value: Any) -> Any:
        return {"rules": value} if isinstance(value, list) else value

    @field_validator("false_alarm_budget")
    @classmethod
    def _is_a_budget(cls, value: str) -> str:
        parse_budget(value)
        return value

    @field_validator("renotify")
    @classmethod
    def _is_a_span(cls, value: str | None) -> str | None:
        if value is not None:
            parse_span(value)
        return value

    @model_validator(mode="after")
    def _inhibition_ends(self) -> Self:
        below = {each.metric: each.inhibits for each in self.rules}
        for name, targets in below.items():
            unknown = next((each for each in targets if each not in below), None)
            if unknown is not None:
                raise ValueError(f"{name!r} inhibits {unknown!r}, which is not watched. {hint(unknown, below)}")
            if name in _reach(below, name):
                raise ValueError(f"{name!r} inhibits itself, directly or through others: nobody would be told of it")
        return self

    @field_validator("rules")
    @classmethod
    def _each_metric_once(cls, value: list[AlertRuleConfig]) -> list[AlertRuleConfig]:
        names = [each.metric for each in value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{twice!r} has several rules; expected one, with direction: moves for both")
        return value

    def check_metrics(self, known: Collection[str]) -> None:
        """Check that every rule is about one of these metrics.

        Raises:
            ValueError: when one is not.
        """
        for rule in self.rules:
            check_metric_name("an alert", rule.metric, known, parts=False)

    def build(self) -> AlertPlan:
        """What is watched."""
        budget, days = parse_budget(self.false_alarm_budget)
        rules = tuple(
            AlertRule(at.metric, at.direction, at.effect, at.baseline, at.severity, tuple(at.inhibits))
            for at in self.rules
        )
        maintenance = tuple(each.build() for each in self.maintenance)
        renotify = None if self.renotify is None else parse_span(self.renotify)
        return AlertPlan(rules, budget, days, self.settle_minutes, self.silent_gaps, maintenance, renotify)
