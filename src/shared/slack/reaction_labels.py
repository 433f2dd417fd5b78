"""The label source `slack`: reactions to messages as human labels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field

from shared.core.clock import Clock, utc_now
from shared.core.errors import SourceError, TransientError
from shared.core.human_labels import HumanLabel
from shared.slack.channel_reader import ChannelReader, SlackMessage, ThreadHead
from shared.slack.client import SlackClient, SlackRefused
from shared.slack.source_params import SlackReading

Verdict = Annotated[float, Field(ge=0, le=1)]


class SlackLabelsParams(SlackReading):
    """Parameters of the labels `slack`."""

    metric: str = Field(min_length=1, description="the name of the metric that claims what the reactions judge")
    emoji: dict[str, Verdict] = Field(
        default={"+1": 1.0, "thumbsup": 1.0, "white_check_mark": 1.0, "-1": 0.0, "thumbsdown": 0.0, "x": 0.0},
        min_length=1,
        description="what a reaction means: its name without colons -> a value in [0, 1]; others mean nothing",
    )
    days_back: float = Field(default=30.0, gt=0, le=3650, description="days of threads whose reactions are read")


class SlackLabels:
    """Reactions to the messages of a thread, as labels of the thread's item: one for each person and reaction.

    Strict: a channel or thread that cannot be read makes the whole source fail, for a judge measured against half of
    the labels would be measured wrongly. Slack does not tell when a reaction was given, so all
    of `days_back` count.
    """

    Params = SlackLabelsParams

    def __init__(self, params: SlackLabelsParams, root: Path, clock: Clock = utc_now) -> None:
        self._params, self._clock = params, clock
        self.name = f"slack {', '.join(params.channel_ids)}"

    def labels(self, since: datetime | None = None) -> Iterator[HumanLabel]:
        """Every label, whatever `since`: they have no time.

        Raises:
            SourceError: when they cannot be read; ConfigError: a wrong token, channel or scope.
        """
        client = self._params.client()
        reader = ChannelReader(client, self._params.page_size)
        low = self._clock() - timedelta(days=self._params.days_back)
        try:
            for channel in dict.fromkeys(self._params.channel_ids):
                for head in reader.heads(channel, low, None):
                    replied = self._params.scrape_threads and head.has_replies
                    for message in reader.replies(head) if replied else [head.message]:
                        yield from self._labels_of(head, message, client)
        except TransientError as error:
            raise SourceError(f"labels of {self.name}: {error}") from error

    def _labels_of(self, head: ThreadHead, message: SlackMessage, client: SlackClient) -> Iterator[HumanLabel]:
        for reaction in message.get("reactions") or ():
            value = self._params.emoji.get(str(reaction.get("name")).split("::")[0])  # `+1::skin-tone-2`
            if value is None:
                continue
            people = list(reaction.get("users") or ())
            if len(people) < int(reaction.get("count") or 0):  # of many people Slack names the first only
                people = _everybody(head.channel, message, str(reaction["name"]), client)
            for person in people:
                yield HumanLabel(head.item_id, self._params.metric, value, None, str(person))


def _everybody(channel: str, message: SlackMessage, name: str, client: SlackClient) -> list[str]:
    """Everybody who gave a reaction.

    Raises:
        SlackRefused: without the scope `reactions:read`.
    """
    found = client.read("reactions.get", channel=channel, timestamp=message["ts"], full=True)
    reactions = (found.get("message") or {}).get("reactions") or ()
    people = next((each.get("users") for each in reactions if each.get("name") == name), None)
    if people is None:
        raise SlackRefused(f"the reactions of message {message['ts']} in {channel} have changed; read them again", "")
    return [str(each) for each in people]
