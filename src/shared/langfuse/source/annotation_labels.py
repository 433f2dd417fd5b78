"""The label source `langfuse`: scores that human annotators gave to traces in Langfuse."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import Field

from shared.core.clock import parse_time
from shared.core.errors import ItemError, SourceError, TransientError
from shared.core.human_labels import HumanLabel
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.api.connection import Connection, LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.read_queries import Row, ScoreQuery
from shared.langfuse.source.trace_source_params import Names

_TYPES = ("NUMERIC", "BOOLEAN", "CATEGORICAL")
_SHOWN = 20


class LangfuseLabelsParams(Connection):
    """Parameters of the label source `langfuse`."""

    claims: dict[str, str] = Field(
        default={},
        description="Score name -> metric name; only these are read. Without it a score's name is the metric's name.",
    )
    categories: dict[str, dict[str, float]] = Field(
        default={}, description="Score name -> category -> value in [0, 1], for scores that are categories."
    )
    environments: Names | None = Field(default=None, description="Only scores of these environments.")


class LangfuseLabels:
    """Scores whose source is ANNOTATION: on a trace, on an observation (counted for its trace), or on a session.

    The item's id is that of the trace or session. Yes is 1, no is 0, numbers are in [0, 1], categories go by
    `categories`. Texts and corrections are not read. Strict, as files are: one score that cannot be parsed makes
    the whole source fail.
    """

    Params = LangfuseLabelsParams

    def __init__(self, params: LangfuseLabelsParams, root: Path, runtime: ClientRuntime | None = None) -> None:
        self._params = params
        self._root, self._runtime = root, runtime
        self.name = f"langfuse {params.base_url}"

    def labels(self, since: datetime | None = None) -> Iterator[HumanLabel]:
        """Every label, or those given at `since` or later.

        Raises:
            SourceError: when they cannot be read or parsed; ConfigError: wrong keys, wrong host.
        """
        names, environments = tuple(self._params.claims), tuple(self._params.environments or ())
        query = ScoreQuery(
            names=names, sources=("ANNOTATION",), data_types=_TYPES, environments=environments, since=since
        )
        client = LangfuseClient(LangfuseSettings.from_connection(self._params, self._root), self._runtime)
        try:
            found = [self._parse_label(row) for row in client.each(client.read_scores(query)) if self._is_wanted(row)]
        except (TransientError, ItemError) as error:
            raise SourceError(f"labels of {self.name}: {error}") from error
        finally:
            client.close()
        flaws = [each for each in found if isinstance(each, str)]
        if flaws:
            more = [f"and {len(flaws) - _SHOWN} more scores"] if len(flaws) > _SHOWN else []
            raise SourceError(f"{self.name}: invalid labels:\n" + "\n".join(flaws[:_SHOWN] + more))
        yield from (each for each in found if isinstance(each, HumanLabel))

    def _is_wanted(self, row: Row) -> bool:
        """Servers differ in what they filter by; a score of an experiment is not a label of an item."""
        kind = _subject(row).get("kind")
        named = not self._params.claims or row.get("name") in self._params.claims
        return named and row.get("source") == "ANNOTATION" and row.get("dataType") in _TYPES and kind != "experiment"

    def _parse_label(self, row: Row) -> HumanLabel | str:
        name, subject = str(row.get("name")), _subject(row)
        item = subject.get("traceId") or subject.get("id")
        value = self._parse_value(name, row)
        if isinstance(value, str):
            return f"score {row.get('id')} {name!r}: {value}"
        if not item:
            return f"score {row.get('id')} {name!r}: found no trace or session; expected one with an id"
        who = str(row.get("authorUserId") or "")
        return HumanLabel(str(item), self._params.claims.get(name, name), value, parse_time(row["timestamp"]), who)

    def _parse_value(self, name: str, row: Row) -> float | str:
        value = row.get("value")
        if row.get("dataType") == "CATEGORICAL":
            values = self._params.categories.get(name, {})
            if value not in values:
                known = ", ".join(map(repr, values)) or "none"
                return f"category {value!r} has no value; known: {known}; add it to categories.{name}"
            value = values[value]
        if isinstance(value, int | float) and math.isfinite(value) and 0 <= value <= 1:
            return float(value)
        return f"found {value!r}; expected yes or no, or a number from 0 to 1"


def _subject(row: Row) -> Mapping[str, str]:
    found = row.get("subject")
    return found if isinstance(found, dict) else {}
