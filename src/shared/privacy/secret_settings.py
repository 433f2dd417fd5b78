"""Values of settings whose name says that they are secret: in the message of a program, in YAML and in JSON.

Stricter than `secret_patterns`, which must leave ordinary sentences alone: here `token: abc` is a secret.
"""

from __future__ import annotations

import re

from shared.privacy.secret_patterns import PLACEHOLDER

# Starts and lengths are bounded throughout: hostile text must not make a pattern slow.
_NAME = r"[\w.-]{0,80}(?:key|secret|token|passw(?:or)?d|pwd|credential|authorization|dsn|connection_string)s?"
_NAME_ALONE = re.compile(_NAME, re.IGNORECASE)
_HARMLESS = re.compile(r"(?:source|monitor|score|item|sort|primary|partition|stratum)_keys?")
_COUNTED = re.compile(r"[\w.-]*tokens")
_NAMED = re.compile(rf"""(?i)(?P<name>(?<![\w.-]){_NAME})(?P<sep>["']?\s*[:=]\s*)""")
_VALUE = re.compile(r"""\s*(\$\{\w+\}(?=[\s,;&}\]]|$)|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,;&}\]"'\n]+)""")
_PLAIN = re.compile(r"""["']?(\$\{\w+\}|null|~|true|false|\[KEY\]?)["']?""", re.IGNORECASE)
_BEARER = re.compile(r"(?i:(?<=bearer ))[\w.~+/=-]{8,}")
_HEADERS = re.compile(r"""(?P<name>(?<![\w.-])["']?headers["']?\s*:\s*)\{[^{}]{1,2000}\}""")
_YAML_LINE = re.compile(
    rf"""(?ix)^(?P<indent>\s*(?:-\s+)*)["']?(?P<name>{_NAME}|headers)["']?(?P<sep>\s*:(?:\s+|$))(?P<rest>.*)$"""
)


def is_secret_name(name: str) -> bool:
    """Whether a setting of this name holds a secret: `api_key`, `password`, and not `monitor_key` or `max_tokens`."""
    return (
        _NAME_ALONE.fullmatch(name) is not None
        and _COUNTED.fullmatch(name.lower()) is None
        and _HARMLESS.fullmatch(name.lower()) is None
    )


def hide_named_values(text: str) -> str:
    """The message of a program without values after a name such as `api_key`, Bearer tokens and a mapping of `headers`.

    For single lines; `hide_yaml_values` knows values that go on below.
    """
    text = _HEADERS.sub(rf"\g<name>{PLACEHOLDER}", _BEARER.sub(PLACEHOLDER, text))
    parts: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or _is_harmless(named["name"], ""):
            continue
        value = _VALUE.match(text, named.end())
        if value and not _is_harmless(named["name"], value[1]):
            parts += [text[done : value.start(1)], PLACEHOLDER]
            done = value.end(1)
    return "".join((*parts, text[done:]))


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
