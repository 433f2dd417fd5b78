"""Settings of the webhook receiver, from environment variables (docs/webhook.md)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Annotated, Any
from urllib.parse import urlsplit

from dotenv import dotenv_values
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator

from shared.core.errors import ConfigError
from shared.http.client_settings import HeaderValue
from shared.http.verify_signature import WINDOW
from shared.slack.client import API

_SHORTEST_KEEP = 2 * WINDOW
"""A delivery may be signed one window ahead of our clock, and replayed until one window after that."""

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _from_variable(variable: str, default: object) -> Any:
    return Field(default, validation_alias=variable)


class WebhookSettings(BaseModel):
    """The receiver's settings, each by its environment variable."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)

    secret: SecretStr = _from_variable("LANGFUSE_WEBHOOK_SECRET", SecretStr(""))
    older_body: bool = _from_variable("LANGFUSE_WEBHOOK_OLDER_BODY", False)
    max_bytes: Annotated[int, Field(ge=1024)] = _from_variable("LANGFUSE_WEBHOOK_MAX_BYTES", 1_048_576)
    keep: Annotated[float, Field(ge=_SHORTEST_KEEP, allow_inf_nan=False)] = _from_variable(
        "LANGFUSE_WEBHOOK_KEEP_SECONDS", 86_400.0
    )
    notify_url: SecretStr = _from_variable("LANGFUSE_WEBHOOK_NOTIFY_URL", SecretStr(""))
    notify_secret: SecretStr = _from_variable("LANGFUSE_WEBHOOK_NOTIFY_SECRET", SecretStr(""))
    tries: Annotated[int, Field(ge=1)] = _from_variable("LANGFUSE_WEBHOOK_NOTIFY_TRIES", 10)
    lease: Positive = _from_variable("LANGFUSE_WEBHOOK_LEASE_SECONDS", 60.0)
    slack_channel: str = _from_variable("LANGFUSE_SLACK_CHANNEL_ID", "")
    slack_token: HeaderValue = _from_variable("SLACK_BOT_TOKEN", SecretStr(""))
    slack_api: str = _from_variable("SLACK_API_URL", API)
    state: str = _from_variable("TRUELINE_STATE", "data/state/trueline.db")

    @field_validator("notify_url")
    @classmethod
    def _url_is_usable(cls, value: SecretStr) -> SecretStr:
        text = value.get_secret_value().strip()
        url = urlsplit(text)
        if text and (url.scheme not in ("http", "https") or not url.hostname or not text.isprintable()):
            raise ValueError("expected an address such as https://app.example.com/prompts")
        return SecretStr(text)


def open_file_limit() -> int:
    """How many files and connections this process may have open; 4,096 where the system names no limit."""
    try:
        import resource  # late: Windows has none
    except ImportError:
        return 4096
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return files if files > 0 else 4096


def webhook_settings(environ: Mapping[str, str] | None = None) -> WebhookSettings:
    """The validated settings: from the `.env` of the working folder, then the environment, or from a mapping in their
    place. A variable that is empty counts as not set.

    Raises:
        ConfigError: naming each variable that is wrong, and LANGFUSE_WEBHOOK_SECRET where there is none.
    """
    try:
        layers = (dotenv_values(".env"), os.environ) if environ is None else (environ,)
        given = {name.upper(): value for layer in layers for name, value in layer.items() if value}
        found = WebhookSettings.model_validate(given)
    except ValidationError as error:
        wrong = error.errors(include_input=False, include_url=False)
        raise ConfigError(*(f"{str(each['loc'][0]).upper()}: {each['msg']}" for each in wrong)) from None
    if not found.secret.get_secret_value().strip():
        raise ConfigError(
            "LANGFUSE_WEBHOOK_SECRET is not set; without it anybody could send deliveries, so the webhook is not"
            " served. Langfuse shows the secret (lf-whsec_...) once, when the automation is created."
        )
    if found.slack_channel and not found.slack_token.get_secret_value():
        raise ConfigError("LANGFUSE_SLACK_CHANNEL_ID is set and SLACK_BOT_TOKEN is not; Slack needs both")
    return found
