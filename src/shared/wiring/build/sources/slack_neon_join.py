"""The source `slack_neon_join`: threads of Slack joined with rows of Postgres."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Self

from pydantic import Field, SecretStr, model_validator

from shared.core.errors import SourceError, StoreError
from shared.core.extraction import Fetched
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.core.window import Window, WindowSupport
from shared.database.query_source import BoundedQuery, QueryParams, plain_row
from shared.monitoring.joined_source import JoinedSource, JoinRule
from shared.slack.slack_source import SlackSource
from shared.slack.source_params import SlackSourceParams


class SlackNeonJoinParams(SlackSourceParams):
    """Parameters of the source `slack_neon_join`, besides its window."""

    neon_query: str = Field(min_length=1, description="One SELECT, without bounds of time, as of the source neon.")
    neon_params: dict[str, Any] | list[Any] | None = Field(default=None, description="Values for the query's places.")
    slack_join_columns: list[str] = Field(min_length=1, description="Fields of a thread, such as thread_ts.")
    neon_join_columns: list[str] = Field(min_length=1, description="Columns of the result with the same values.")
    dataset_id_column: str | None = Field(default=None, description="Column with the items' ids; default: Slack's.")
    use_slack_thread_dataset_id: bool = Field(default=False, description="Keep the threads' ids, whatever the rows.")
    neon_time_column: str = Field(
        default="created_at", pattern=r"^[A-Za-z_][A-Za-z0-9_.]*$", description="The time of a row, in the result."
    )
    buffer_minutes: float = Field(default=0.0, ge=0, le=525_600, description="Widens the window of the rows.")
    neon_connection_string: SecretStr | None = Field(default=None, description="Default: the variable DATABASE_URL.")
    neon_chunk_size: int = Field(default=1000, ge=1, le=100_000, description="Rows fetched at a time.")
    neon_timeout_seconds: float | None = Field(default=None, gt=0, le=86_400, description="Limit of a statement (60).")

    @model_validator(mode="after")
    def _columns_go_together(self) -> Self:
        here, there = len(self.slack_join_columns), len(self.neon_join_columns)
        if here != there:
            raise ValueError(f"found {here} slack_join_columns and {there} neon_join_columns; expected as many")
        _ = self.neon  # checks the query
        return self

    @property
    def neon(self) -> QueryParams:
        """The query and how it is read."""
        return QueryParams(
            query=self.neon_query,
            params=self.neon_params,
            connection_string=self.neon_connection_string,
            time_column=self.neon_time_column,
            chunk_size=self.neon_chunk_size,
            timeout_seconds=self.neon_timeout_seconds,
        )

    @property
    def slack(self) -> SlackSourceParams:
        """The parameters of the threads."""
        return SlackSourceParams(**{name: getattr(self, name) for name in SlackSourceParams.model_fields})

    @property
    def rule(self) -> JoinRule:
        """How threads and rows belong together."""
        return JoinRule(
            item_fields=tuple(self.slack_join_columns),
            row_columns=tuple(self.neon_join_columns),
            time_column=self.neon_time_column.rsplit(".", 1)[-1],
            id_column=None if self.use_slack_thread_dataset_id else self.dataset_id_column,
            buffer=timedelta(minutes=self.buffer_minutes),
        )


class SlackNeonJoin:
    """Threads of Slack channels, each with the columns of its Postgres row in `additional_input`."""

    Params = SlackNeonJoinParams
    window_support = WindowSupport()

    def __init__(self, params: SlackNeonJoinParams, context: SourceContext) -> None:
        self.key = context.key
        self._params, self._context = params, context
        self._threads = SlackSource(params.slack, replace(context, extract=DatasetItem.from_dict))

    def caught_up(self, last: datetime) -> SlackNeonJoin:
        """The same source, whose window holds all that came since `last`, if it moves with the clock."""
        made = copy(self)
        made._threads = self._threads.caught_up(last)
        return made

    async def connect(self) -> str:
        """Describe Slack, as the source `slack` does."""
        return await self._threads.connect()

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield the joined threads of the window as of `now`.

        Raises:
            SourceError: when Slack or the server cannot answer; ConfigError: when the result lacks a column.
        """
        joined = JoinedSource(self._threads, self._rows, self._params.rule, self._context.extract)
        try:
            yield from joined.fetch(now, self._threads.window_at(now).end)
        except StoreError as error:
            raise SourceError(f"source {self.key}: {error}") from error

    def _rows(self, window: Window) -> Iterator[Mapping[str, Any]]:
        rule = self._params.rule
        required = (*rule.row_columns, *((rule.id_column,) if rule.id_column else ()))
        return map(plain_row, BoundedQuery(self._params.neon, window, required=required).rows())
