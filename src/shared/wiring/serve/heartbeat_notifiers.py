"""Who a scheduler tells that monitors do not run, by the environment: a channel of Slack, or an incoming webhook."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from pydantic import SecretStr, ValidationError

from shared.core.errors import ConfigError
from shared.core.ports import Notifier
from shared.slack.client import API
from shared.slack.incoming_webhook import SlackWebhookNotifier, SlackWebhookParams
from shared.slack.notify import SlackNotifier, SlackNotifierParams


def build_notifiers(names: Sequence[str], variables: Mapping[str, str]) -> list[Notifier]:
    """The notifiers of these names, each once.

    Raises:
        ConfigError: when a variable that one needs is not set, or cannot be used.
    """
    return [_BUILDERS[name](variables) for name in dict.fromkeys(names)]


def _slack(variables: Mapping[str, str]) -> Notifier:
    token, channel = (_read(variables, "slack", name) for name in ("SLACK_BOT_TOKEN", "SLACK_CHANNEL_ID"))
    url = variables.get("SLACK_API_URL") or API
    try:
        return SlackNotifier(SlackNotifierParams(token=SecretStr(token), channel=channel, base_url=url))
    except ValidationError as error:
        raise ConfigError(f"--notify slack: {error.errors()[0]['msg']}") from None  # its text may hold the token


def _slack_webhook(variables: Mapping[str, str]) -> Notifier:
    url = _read(variables, "slack_webhook", "SLACK_WEBHOOK_URL")
    return SlackWebhookNotifier(SlackWebhookParams(url=SecretStr(url)))


_BUILDERS: Mapping[str, Callable[[Mapping[str, str]], Notifier]] = {"slack": _slack, "slack_webhook": _slack_webhook}


def _read(variables: Mapping[str, str], notifier: str, name: str) -> str:
    found = variables.get(name, "").strip()
    if not found:
        raise ConfigError(f"--notify {notifier}: expected the variable {name}, found none")
    return found
