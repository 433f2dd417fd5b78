"""Queries for observations and scores, and the pages that answer them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from shared.core.clock import iso
from shared.core.errors import ConfigError

EXPERIMENTS = "sdk-experiment"
"""The environment that Langfuse's SDK gives to traces of an experiment. They are not live traffic."""

Row = dict[str, Any]
"""One observation or score, with the field names of Langfuse's API."""

FIELD_GROUPS = frozenset(
    {"core", "basic", "time", "io", "metadata", "model", "usage", "prompt", "metrics", "trace_context"}
)
"""Field groups of an observation; `core` is always included. The fewer are requested, the faster the read."""

ObservationType = Literal[
    "SPAN", "GENERATION", "EVENT", "AGENT", "TOOL", "CHAIN", "RETRIEVER", "EVALUATOR", "EMBEDDING", "GUARDRAIL"
]
ObservationLevel = Literal["DEBUG", "DEFAULT", "WARNING", "ERROR"]


@dataclass(frozen=True, slots=True)
class ObservationFilter:
    """Which observations to read, and which field groups of each: `since <= startTime < until`, and all of the other
    conditions that are set. `tags` must all be on the trace. `where` holds further conditions as Langfuse writes them
    (`{"type": "number", "column": "latency", "operator": ">", "value": 2}`).
    """

    since: datetime | None = None
    until: datetime | None = None
    fields: Sequence[str] = ("core", "basic")
    trace_id: str | None = None
    name: str | None = None
    type: ObservationType | None = None
    level: ObservationLevel | None = None
    environments: Sequence[str] = ()
    user_id: str | None = None
    session_id: str | None = None
    version: str | None = None
    root_only: bool = False
    tags: Sequence[str] = ()
    where: Sequence[Mapping[str, Any]] = ()

    @property
    def simple_params(self) -> dict[str, str]:
        """The conditions that are parameters of their own."""
        found = {"traceId": self.trace_id, "name": self.name, "type": self.type, "level": self.level}
        found |= {"userId": self.user_id, "sessionId": self.session_id, "version": self.version}
        return {name: value for name, value in found.items() if value is not None}


@dataclass(frozen=True, slots=True)
class ObservationQuery(ObservationFilter):
    """A filter, and how the server is asked for what passes it.

    The server cuts metadata values to 200 characters unless their key is in `expand_metadata`. Where the whole window
    is known to be too much for the server, the first request covers only its last `first_window` seconds.
    """

    expand_metadata: Sequence[str] = ()
    page_size: int = 1000
    first_window: float | None = None

    def __post_init__(self) -> None:
        unknown = set(self.fields) - FIELD_GROUPS
        if unknown:
            raise ConfigError(
                f"fields: unknown group {sorted(unknown)[0]!r}; expected of: {', '.join(sorted(FIELD_GROUPS))}"
            )
        if not 1 <= self.page_size <= 1000:
            raise ConfigError(f"page_size: found {self.page_size}; expected 1 to 1000")

    def params(self, since: datetime | None, until: datetime | None) -> dict[str, str | Sequence[str]]:
        """Parameters of the v2 read within a window. With tags or `where` everything goes into `filter`: the server
        ignores the other parameters beside it.
        """
        found: dict[str, str | Sequence[str]] = {"fields": ",".join(dict.fromkeys(("core", *self.fields)))}
        if self.expand_metadata:
            found["expandMetadata"] = ",".join(self.expand_metadata)
        bounds = {"fromStartTime": since, "toStartTime": until}
        times = {name: iso(value) for name, value in bounds.items() if value is not None}
        if self.tags or self.where:
            return {**found, "filter": json.dumps(self._conditions(since, until)), **times}
        found |= self.simple_params | times
        if self.root_only:
            found["isRootObservation"] = "true"
        if self.environments:
            found["environment"] = tuple(self.environments)
        return found

    def _conditions(self, since: datetime | None, until: datetime | None) -> list[Mapping[str, Any]]:
        found: list[Mapping[str, Any]] = [
            {"type": "string", "column": name, "operator": "=", "value": value}
            for name, value in self.simple_params.items()
        ]
        for sign, moment in ((">=", since), ("<", until)):
            if moment is not None:
                found.append({"type": "datetime", "column": "startTime", "operator": sign, "value": iso(moment)})
        if self.root_only:
            found.append({"type": "boolean", "column": "isRootObservation", "operator": "=", "value": True})
        for kind, column, operator, values in (
            ("stringOptions", "environment", "any of", self.environments),
            ("arrayOptions", "tags", "all of", self.tags),
        ):
            if values:
                found.append({"type": kind, "column": column, "operator": operator, "value": list(values)})
        return [*found, *self.where]


@dataclass(frozen=True, slots=True)
class ObservationPage:
    """Rows of one answer, newest first, and the position of the next page: a string that may be stored, None at the
    end.
    """

    rows: Sequence[Row]
    resume: str | None


@dataclass(frozen=True, slots=True)
class ScoreQuery:
    """Which scores to read: `since <= timestamp < until`, and all of the other conditions; a list means any of its
    values.
    """

    ids: Sequence[str] = ()
    names: Sequence[str] = ()
    sources: Sequence[Literal["API", "ANNOTATION", "EVAL"]] = ()
    data_types: Sequence[str] = ()
    environments: Sequence[str] = ()
    trace_ids: Sequence[str] = ()
    session_ids: Sequence[str] = ()
    observation_ids: Sequence[str] = ()
    experiment_ids: Sequence[str] = ()
    since: datetime | None = None
    until: datetime | None = None

    def __post_init__(self) -> None:
        if self.observation_ids and not self.trace_ids:
            raise ConfigError(
                "observation_ids: needs trace_ids too; an observation's id is only known within its trace"
            )

    def params(self, names: Mapping[str, str]) -> dict[str, str]:
        """Parameters of a read; `names` maps fields to the endpoint's parameters."""
        found = {}
        for field, name in names.items():
            value = getattr(self, field)
            if value:
                found[name] = iso(value) if isinstance(value, datetime) else ",".join(value)
        return found
