"""The parameters of the source `slack` and of the labels `slack`."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

from shared.core.window import WindowRule
from shared.slack.client import API, SlackClient, SlackConnection
from shared.slack.pace import Pace
from shared.slack.retry_handler import SlackRetryLimits

_LENGTHS = {"window_days": 86400.0, "window_hours": 3600.0, "window_minutes": 60.0}

Names = list[Annotated[str, Field(min_length=1)]]
WindowLength = Annotated[float, Field(gt=0, le=525_600, allow_inf_nan=False)]


class SlackReading(BaseModel):
    """How Slack is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    slack_token: SecretStr = Field(min_length=1, description="The bot's token, better as ${SLACK_BOT_TOKEN}.")
    channel_ids: Names = Field(min_length=1, description="Ids of the channels (C0123ABCD); the bot must be in them.")
    scrape_threads: bool = Field(default=True, description="Read the replies of threads.")
    thread_lookback: float = Field(
        default=7.0, ge=0, le=365, description="Days before the window whose threads are looked at for new replies."
    )
    page_size: int = Field(default=200, ge=1, le=999, description="Messages asked for at a time.")
    requests_per_minute: float = Field(
        default=45.0, gt=0, le=1200, description="Requests to Slack; they come slower once it has asked for fewer."
    )
    base_url: str = Field(default=API, pattern="^https?://", description="Another address of Slack's API.")
    timeout: float = Field(default=30.0, gt=0, le=300, description="Seconds for one request.")

    def client(self) -> SlackClient:
        """A client with these limits."""
        limits = SlackRetryLimits(tries=5, max_wait=120.0)
        connection = SlackConnection(self.slack_token, self.base_url, self.timeout, limits)
        return SlackClient(connection, Pace(60.0 / self.requests_per_minute))


class OlderWindow(SlackReading):
    """Spellings of the window that older files have."""

    oldest_ts: float | None = Field(default=None, ge=0, description="Older spelling of from_timestamp, Unix seconds.")
    latest_ts: float | None = Field(default=None, ge=0, description="Older spelling of to_timestamp, Unix seconds.")
    window_days: WindowLength | None = Field(default=None, description="Older spelling of days_back.")
    window_hours: WindowLength | None = Field(default=None, description="Older spelling of hours_back.")
    window_minutes: WindowLength | None = Field(default=None, description="Older spelling of minutes_back.")

    @model_validator(mode="after")
    def _one_window(self) -> Self:
        lengths = [
            name for name in ("window_days", "window_hours", "window_minutes") if getattr(self, name) is not None
        ]
        absolute = self.oldest_ts is not None or self.latest_ts is not None
        if len(lengths) + absolute > 1:
            raise ValueError(
                f"found {' and '.join([*lengths, *(['oldest_ts/latest_ts'] if absolute else [])])}; set one"
            )
        if self.oldest_ts is not None and self.latest_ts is not None and self.oldest_ts >= self.latest_ts:
            raise ValueError(f"oldest_ts {self.oldest_ts} must be before latest_ts {self.latest_ts}")
        return self

    @property
    def own_window(self) -> WindowRule | None:
        """The window in its older spelling."""
        for name, unit in _LENGTHS.items():
            if (length := getattr(self, name)) is not None:
                return WindowRule(seconds_back=length * unit)
        if self.oldest_ts is None and self.latest_ts is None:
            return None
        bounds = (self.oldest_ts, self.latest_ts)
        start, end = (None if each is None else datetime.fromtimestamp(each, UTC) for each in bounds)
        return WindowRule(start=start, end=end)


class SlackSourceParams(OlderWindow):
    """Parameters of the source `slack`, besides its window."""

    limit: int | None = Field(default=None, ge=1, description="At most so many threads a channel: the newest.")
    filter_sender: str | None = Field(default=None, description="Only threads that this sender (name or id) began.")
    bot_name: str | None = Field(default=None, description="The assistant's name: its messages are answers.")
    bot_names: Names = Field(default=[], description="More names of the assistant; default: every bot is one.")
    exclude_senders: Names = Field(default=[], description="Messages of these senders (names or ids) are left out.")
    drop_message_regexes: Names = Field(default=[], description="Messages in which one of these is found are left out.")
    drop_if_first_is_user: bool = Field(default=False, description="Skip threads whose first message is a person's.")
    drop_if_all_ai: bool = Field(default=False, description="Skip threads in which no person says anything.")
    strip_citation_block: bool = Field(default=False, description="Cut off the list of sources ([1] ...) of an answer.")
    workspace_domain: str | None = Field(default=None, description="For links: <domain>.slack.com.")
    member_id_to_display_name: dict[str, str] = Field(default={}, description="Names of people by their id.")
    human_mention_token: str = Field(default="@human", description="Stands for a person whose name is not known.")
    max_concurrent: int = Field(default=2, ge=1, description="Accepted, without effect: requests keep to the rate.")

    @field_validator("drop_message_regexes")
    @classmethod
    def _patterns_compile(cls, value: list[str]) -> list[str]:
        for each in value:
            try:
                re.compile(each)
            except re.error as error:
                raise ValueError(f"{each!r} is no regular expression: {error}") from error
        return value

    @property
    def assistants(self) -> frozenset[str]:
        """Names whose messages are answers; empty: every bot's."""
        return frozenset((*self.bot_names, *((self.bot_name,) if self.bot_name else ())))
