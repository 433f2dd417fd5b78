"""A score as Langfuse stores it, what a server would refuse of it, and the outcome of sending it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from pydantic_core import to_json

from shared.core.clock import as_utc, iso, parse_time

ScoreIdentity = tuple[str, str, str]
"""Id, name and UTC date: what Langfuse knows a score by."""

DataType = Literal["NUMERIC", "BOOLEAN", "CATEGORICAL", "TEXT", "CORRECTION"]
MAX_TEXT_LENGTH = 500
MAX_REQUEST_BYTES = 1_000_000
"""Bytes of one request. The server takes 1 MiB."""

_FIELDS = {
    **{"id": "id", "name": "name", "value": "value", "dataType": "data_type", "timestamp": "timestamp"},
    **{"traceId": "trace_id", "observationId": "observation_id", "sessionId": "session_id"},
    **{
        "datasetRunId": "experiment_id",
        "comment": "comment",
        "metadata": "metadata",
        "environment": "environment",
        "configId": "config_id",
    },
}
_ENVIRONMENT = re.compile(r"(?!langfuse)[a-z0-9_-]{1,40}")
_NAMESPACE = uuid.UUID("6f1d8d1e-3a52-5b1f-9c55-0b6c2f1f7a10")


def score_id(*parts: str) -> str:
    """The same id for the same parts, in every run (UUID 5): project, subject, metric, version, scope."""
    return str(uuid.uuid5(_NAMESPACE, "\x1f".join(parts)))


@dataclass(frozen=True, slots=True)
class LangfuseScore:
    """One score of exactly one subject: a trace (with `observation_id`: an observation in it), a session, or an
    experiment.

    Langfuse knows a score by `id`, `name` and the UTC *date* of `timestamp`: sent again with all three the same it
    replaces itself, else it is a second score. So pin the timestamp to the item, never to the moment of sending.
    """

    id: str
    name: str
    value: float | str
    timestamp: datetime
    data_type: DataType = "NUMERIC"
    trace_id: str | None = None
    observation_id: str | None = None
    session_id: str | None = None
    experiment_id: str | None = None
    comment: str | None = None
    metadata: Mapping[str, object] | None = None
    environment: str | None = None
    config_id: str | None = None

    def body(self) -> dict[str, object]:
        """The JSON object that is sent: always the whole score."""
        found = {name: getattr(self, field) for name, field in _FIELDS.items()} | {"timestamp": iso(self.timestamp)}
        if self.data_type == "BOOLEAN":
            found["value"] = int(self.value)
        return {name: value for name, value in found.items() if value is not None}

    @classmethod
    def parse(cls, body: Mapping[str, Any]) -> LangfuseScore:
        """The score that has this `body`."""
        fields = {field: body[name] for name, field in _FIELDS.items() if name in body}
        return cls(**{**fields, "timestamp": parse_time(body["timestamp"])})

    @property
    def identity(self) -> ScoreIdentity:
        """What Langfuse knows it by."""
        return self.id, self.name, as_utc(self.timestamp).date().isoformat()

    def matches(self, row: Mapping[str, object]) -> bool:
        """Whether a score that was read back is this one."""
        value = row.get("value")
        if self.data_type in ("NUMERIC", "BOOLEAN"):
            same = isinstance(value, int | float) and math.isclose(float(value), float(self.value), rel_tol=1e-9)
        else:
            same = value == self.value
        return same and row.get("name") == self.name


@dataclass(frozen=True, slots=True)
class SendOutcome:
    """The outcome of sending a score or a span. `rejected`: fix it using the reason; sending it again does not help.
    `unknown`: it may be stored or not; a score may be sent again, after `wait` seconds where the server asks for that.
    """

    id: str
    status: Literal["accepted", "rejected", "unknown"]
    reason: str = ""
    wait: float | None = None


def encode_score(score: LangfuseScore) -> bytes:
    """A score as JSON.

    Raises:
        ValueError: when its metadata cannot be written as JSON.
    """
    return to_json(score.body(), inf_nan_mode="null")


def find_score_problem(score: LangfuseScore) -> str | None:
    """Why a server would reject the score; None when nothing is wrong."""
    for check in (_subject_problem, _name_problem, _VALUES[score.data_type]):
        found = check(score)
        if found is not None:
            return found
    return None


def find_environment_problem(name: str) -> str | None:
    """Why a server would reject the name of an environment; None when nothing is wrong."""
    if _ENVIRONMENT.fullmatch(name):
        return None
    return f"environment: found {name!r}; expected up to 40 of a-z, 0-9, - and _, not beginning with langfuse"


def _subject_problem(score: LangfuseScore) -> str | None:
    given = [each for each in (score.trace_id, score.session_id, score.experiment_id) if each]
    if len(given) != 1:
        return f"found {len(given)} subjects; expected exactly one of trace_id, session_id, experiment_id"
    if score.observation_id and not score.trace_id:
        return "observation_id: needs trace_id too"
    return None


def _name_problem(score: LangfuseScore) -> str | None:
    if not score.id or not score.name:
        return "id and name must not be empty"
    return None if score.environment is None else find_environment_problem(score.environment)


def _numeric_problem(score: LangfuseScore) -> str | None:
    if isinstance(score.value, str) or not math.isfinite(score.value):
        return f"value: found {repr(score.value)[:40]}; expected a finite number for NUMERIC"
    return None


def _boolean_problem(score: LangfuseScore) -> str | None:
    return None if score.value in (0, 1) else f"value: found {score.value!r}; expected 0 or 1 for BOOLEAN"


def _text_problem(score: LangfuseScore) -> str | None:
    if not isinstance(score.value, str) or not score.value:
        return f"value: found {score.value!r}; expected a non-empty string for {score.data_type}"
    if score.data_type == "TEXT" and len(score.value) > MAX_TEXT_LENGTH:
        return (
            f"value: found {len(score.value)} characters; expected 1 to {MAX_TEXT_LENGTH} for TEXT; shorten it, or put"
            " it into the comment"
        )
    return None


_VALUES: Mapping[DataType, Callable[[LangfuseScore], str | None]] = {
    **{"NUMERIC": _numeric_problem, "BOOLEAN": _boolean_problem},
    **{"CATEGORICAL": _text_problem, "TEXT": _text_problem, "CORRECTION": _text_problem},
}
