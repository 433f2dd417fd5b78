"""Which values of a configuration and of an environment are secrets."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from shared.privacy.secret_settings import is_secret_name

_URL_PASSWORD = re.compile(r"://(?P<user>[^\s/@:]{0,200}):(?P<password>[^\s/]{1,500})@")
_DSN_PASSWORD = re.compile(r"(?:password|pwd)\s{0,3}=\s{0,3}'?(?P<password>[^\s;']{1,500})", re.IGNORECASE)
_CERTAIN_NAME = re.compile(
    r"(?:api|secret|access|auth|private|bot|client|signing|webhook|encryption)[_-]?(?:key|token)s?$"
    r"|secret|passw|pwd|credential|authorization",
    re.IGNORECASE,
)


def secrets_of_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """Values of environment variables with a secret's name, and passwords inside all others."""
    for name, value in variables.items():
        ordinary = value.islower() and value.isalpha()
        if is_secret_name(name) and "://" not in value and not ordinary:
            yield value
        yield from _find_passwords(value)


def secrets_of_config(value: object, name: str = "") -> Iterator[str]:
    """Values of secret names and of `headers`, passwords inside URLs, and secret fields of models."""
    if isinstance(value, str):
        yield from _secrets_of_setting(name, value)
    elif isinstance(value, SecretStr):
        yield value.get_secret_value()
        yield from _find_passwords(value.get_secret_value())
    elif isinstance(value, Mapping | BaseModel):
        for key, inner in value.items() if isinstance(value, Mapping) else value:
            yield from secrets_of_config(inner, name if name == "headers" else str(key))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from secrets_of_config(inner, name)


def is_secret_setting(name: str, value: str) -> bool:
    """Whether a setting is secret by its name; `key: total` and `stop_token: END` are none, as their values show."""
    if not is_secret_name(name):
        return False
    looks_secret = len(value) >= 12 and sum(map(str.isdigit, value)) >= 2 and " " not in value
    return looks_secret or _CERTAIN_NAME.search(name) is not None


def _secrets_of_setting(name: str, value: str) -> Iterator[str]:
    yield from _find_passwords(value)
    if name == "headers":
        yield value.rpartition(" ")[2]  # without the scheme: "Bearer ..."
    elif "://" not in value and is_secret_setting(name, value):
        yield value


def _find_passwords(value: str) -> Iterator[str]:
    """Passwords inside a URL or a connection string. One that is the user's name, as in examples, is no secret."""
    if "://" in value:
        found = [each["password"] for each in _URL_PASSWORD.finditer(value) if each["password"] != each["user"]]
    else:
        found = [each["password"] for each in _DSN_PASSWORD.finditer(value)] if "=" in value else []
    for password in found:
        yield password
        yield unquote(password)
