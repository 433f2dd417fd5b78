"""Builds the prompt manager from environment variables. Serving needs this file: it imports nothing of monitors."""

from __future__ import annotations

import os
from collections.abc import Mapping

from pydantic import SecretStr, ValidationError

from shared.core.errors import ConfigError
from shared.database.engine.database import open_database
from shared.database.stores.sql_prompt_generations import SqlGenerations
from shared.langfuse.api.connection import LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.prompt_cache.prompt_cache import CacheTimes
from shared.langfuse.prompt_cache.prompt_manager import LangfusePromptManager, PromptSettings

STATE = "data/state/trueline.db"

_VARIABLES = {
    "base_url": "LANGFUSE_BASE_URL",
    "public_key": "LANGFUSE_PUBLIC_KEY",
    "secret_key": "LANGFUSE_SECRET_KEY",
    "timeout": "LANGFUSE_REQUEST_TIMEOUT_SECONDS",
}


def prompt_manager(environ: Mapping[str, str] | None = None) -> LangfusePromptManager:
    """A manager on the project that LANGFUSE_* names, with the generations in the database TRUELINE_STATE.

    Raises:
        ConfigError: for settings that are missing or wrong; StoreError when the database cannot be opened.
    """
    variables = os.environ if environ is None else environ
    client = LangfuseClient(langfuse_settings(variables))
    settings = PromptSettings(
        label=variables.get("LANGFUSE_DEFAULT_LABEL") or "production",
        times=CacheTimes(ttl=parse_seconds(variables, "LANGFUSE_DEFAULT_CACHE_TTL_SECONDS", 60.0)),
        check=parse_seconds(variables, "LANGFUSE_PROMPT_CHECK_SECONDS", 1.0),
        patience=parse_seconds(variables, "LANGFUSE_REQUEST_TIMEOUT_SECONDS", 10.0),
        poll=parse_seconds(variables, "LANGFUSE_PROMPT_POLL_SECONDS", 60.0),
    )
    generations = SqlGenerations(open_database(variables.get("TRUELINE_STATE") or STATE))
    return LangfusePromptManager(client, generations, settings)


def langfuse_settings(variables: Mapping[str, str]) -> LangfuseSettings:
    """The server and its keys.

    Raises:
        ConfigError: naming every variable that is missing, or what is wrong with the address.
    """
    url = variables.get("LANGFUSE_BASE_URL") or variables.get("LANGFUSE_HOST")
    public, secret = variables.get("LANGFUSE_PUBLIC_KEY"), variables.get("LANGFUSE_SECRET_KEY")
    given = {"LANGFUSE_BASE_URL": url, "LANGFUSE_PUBLIC_KEY": public, "LANGFUSE_SECRET_KEY": secret}
    if missing := [name for name, value in given.items() if not value]:
        raise ConfigError(*(f"{name} is not set; it is needed to read prompts from Langfuse" for name in missing))
    try:
        return LangfuseSettings(
            base_url=url or "",
            public_key=SecretStr(public or ""),
            secret_key=SecretStr(secret or ""),
            timeout=parse_seconds(variables, "LANGFUSE_REQUEST_TIMEOUT_SECONDS", 10.0),
            tries=3,
        )
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        name = _VARIABLES[str(first["loc"][0])]
        found = "" if name.endswith("_KEY") else f", found {given.get(name, variables.get(name))!r}"
        raise ConfigError(f"{name}: {first['msg'].removeprefix('Value error, ')}{found}") from None


def parse_seconds(variables: Mapping[str, str], name: str, default: float) -> float:
    """Parse a variable as seconds.

    Raises:
        ConfigError: when it is not a number, or below zero.
    """
    text = variables.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value < float("inf"):
        raise ConfigError(f"{name}: found {text!r}; expected a number of seconds of 0 or more, such as 60")
    return value
