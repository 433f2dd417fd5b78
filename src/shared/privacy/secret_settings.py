"""Settings whose name says that they are secret: which values of a configuration and an environment they hold, and
hiding them in messages, YAML and JSON.

Stricter than `secret_patterns`, which must leave ordinary sentences alone: here `token: abc` is a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from pydantic import BaseModel, SecretStr

from shared.privacy.addresses import Span
from shared.privacy.secret_patterns import PLACEHOLDER, SECRET_NAMES, replace_spans

# Starts and lengths are bounded throughout: hostile text must not make a pattern slow.
_NAME = rf"[\w.-]{{0,80}}{SECRET_NAMES}"
_NAME_ALONE = re.compile(_NAME, re.IGNORECASE)
_HARMLESS = re.compile(r"(?:source|monitor|score|item|sort|primary|partition|stratum)_keys?")
_WORKING_FOLDERS = ("PWD", "OLDPWD")  # of a shell: their names end like those of passwords
_COUNTED = re.compile(r"[\w.-]*tokens")
_NAMED = re.compile(rf"""(?i)(?P<name>(?<![\w.-]){_NAME})(?P<sep>["']?\s*[:=]\s*)""")
_VALUE = re.compile(r"""\s*(\$\{\w+\}(?=[\s,;&}\]]|$)|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,;&}\]"'\n]+)""")
_PLAIN = re.compile(r"""["']?(\$\{\w+\}|null|~|true|false|\[KEY\]?)["']?""", re.IGNORECASE)
_BEARER = re.compile(r"(?i:(?<=bearer ))[\w.~+/=-]{8,}")
_HEADERS = re.compile(r"""(?P<name>(?<![\w.-])["']?headers["']?\s*:\s*)\{[^{}]{1,2000}\}""")
_YAML_LINE = re.compile(
    rf"""(?ix)^(?P<indent>\s*(?:-\s+)*)["']?(?P<name>{_NAME}|headers)["']?(?P<sep>\s*:(?:\s+|$))(?P<rest>.*)$"""
)
_URL_PASSWORD = re.compile(r"://(?P<user>[^\s/@:]{0,200}):(?P<password>[^\s/]{1,500})@")
_DSN_PASSWORD = re.compile(r"(?:password|pwd)\s{0,3}=\s{0,3}'?(?P<password>[^\s;']{1,500})", re.IGNORECASE)
_CERTAIN_NAME = re.compile(
    r"(?:api|secret|access|auth|private|bot|client|signing|webhook|encryption)[_-]?(?:key|token)s?$"
    r"|secret|passw|pwd|credential|authorization",
    re.IGNORECASE,
)


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: `api_key`, `password`, and not `monitor_key` or `max_tokens`."""
    harmless = _COUNTED.fullmatch(name.lower()) or _HARMLESS.fullmatch(name.lower())
    return _NAME_ALONE.fullmatch(name) is not None and not harmless


def secrets_of_variables(variables: Mapping[str, str]) -> Iterator[str]:
    """Values of environment variables with a secret's name, and passwords inside all others."""
    for name, value in variables.items():
        ordinary = value.islower() and value.isalpha()
        if is_secret_name(name) and name not in _WORKING_FOLDERS and "://" not in value and not ordinary:
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


def _secrets_of_setting(name: str, value: str) -> Iterator[str]:
    yield from _find_passwords(value)
    if name == "headers":
        yield value.rpartition(" ")[2]  # without the scheme: "Bearer ..."
    elif "://" not in value and is_secret_setting(name, value):
        yield value


def is_secret_setting(name: object, value: object) -> bool:
    """Whether a setting is secret by its name; `key: total` and `stop_token: END` are none, as their values show."""
    if not (isinstance(name, str) and isinstance(value, str) and value and is_secret_name(name)):
        return False
    looks_secret = len(value) >= 12 and sum(map(str.isdigit, value)) >= 2 and " " not in value
    return looks_secret or _CERTAIN_NAME.search(name) is not None


def _find_passwords(value: str) -> Iterator[str]:
    """Passwords inside a URL or a connection string. One that is the user's name, as in examples, is no secret."""
    if "://" in value:
        found = [each["password"] for each in _URL_PASSWORD.finditer(value) if each["password"] != each["user"]]
    else:
        found = [each["password"] for each in _DSN_PASSWORD.finditer(value)] if "=" in value else []
    for password in found:
        yield password
        yield unquote(password)


def hide_named_values(text: str) -> str:
    """The message of a program without values after a name such as `api_key`, Bearer tokens and a mapping of `headers`.

    For single lines; `hide_yaml_values` knows values that go on below.
    """
    text = _HEADERS.sub(rf"\g<name>{PLACEHOLDER}", _BEARER.sub(PLACEHOLDER, text))
    return replace_spans(text, _find_named_values(text))


def _find_named_values(text: str) -> Iterator[Span]:
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or _is_harmless(named["name"], ""):
            continue
        value = _VALUE.match(text, named.end())
        if value and not _is_harmless(named["name"], value[1]):
            yield value.span(1)
            done = value.end(1)


def hide_yaml_values(text: str) -> str:
    """A YAML (or JSON) text without the values of secret names. What is indented below such a name belongs to it.

    A reference `${NAME}` is left: it names the secret without holding it.
    """
    kept: list[str] = []
    inside: int | None = None
    bare = False
    for each in text.splitlines():
        depth = len(each) - len(each.lstrip(" \t"))
        listed = bare and depth == inside and each[depth : depth + 2] == "- "
        if inside is not None and (not each.strip() or depth > inside or listed):
            kept.append(each[:depth] + (PLACEHOLDER if each.strip() else ""))
            continue
        inside = None
        found = _YAML_LINE.match(each)
        rest = found["rest"].partition(" #")[0].strip() if found else ""
        if found is None or _is_harmless(found["name"], rest):
            kept.append(hide_named_values(each))
            continue
        inside, bare = len(found["indent"]), not rest
        kept.append(each[: found.start("rest")] + (PLACEHOLDER if rest else ""))
    return "\n".join(kept) + ("\n" if text.endswith("\n") else "")


def _is_harmless(name: str, value: str) -> bool:
    """Whether this only looks like a secret: `monitor_key: desk`, `max_tokens: 256`, a reference such as `${KEY}`."""
    name = name.lower()
    counted = _COUNTED.fullmatch(name) is not None and value.replace("_", "").isdigit()
    return counted or _HARMLESS.fullmatch(name) is not None or _PLAIN.fullmatch(value) is not None
