"""Secrets are not shown: not from the config, not from settings, not from what a library says in an error."""

from __future__ import annotations

import re

from shared.report.text.formatting import line

# Starts and lengths are bounded throughout: hostile text must not make a pattern slow.
_SECRET_NAME = r"[\w.-]{0,80}(?:key|secret|token|passw(?:or)?d|pwd|credential|authorization|dsn|connection_string)s?"
_HARMLESS = re.compile(r"(?:source|monitor|score|item|sort|primary|partition|stratum)_keys?")
_COUNTED = re.compile(r"[\w.-]*tokens")
_NAMED = re.compile(rf"""(?i)(?P<name>(?<![\w.-]){_SECRET_NAME})(?P<sep>["']?\s*[:=]\s*)""")
_VALUE = re.compile(r"""\s*(\$\{\w+\}(?=[\s,;&}\]]|$)|"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,;&}\]"'\n]+)""")
_PLAIN = re.compile(r"""["']?(\$\{\w+\}|null|~|true|false)["']?""", re.IGNORECASE)
_USERINFO = re.compile(
    r"""(?P<scheme>(?<![\w+.-])[a-zA-Z][\w+.-]{0,30}://)(?P<user>[^\s/@:]{0,200}):(?P<word>[^\s"']{1,500})@"""
)
_SHAPES = re.compile(
    r"\b(?:(?:sk|pk|rk)-(?:lf-|ant-|proj-)?[\w-]{12,}|xox[abeprs]-[\w-]{8,}|gh[opsu]_\w{16,}|AKIA[0-9A-Z]{12,})|"
    r"(?i:(?<=bearer )|(?<=basic ))[\w.~+/=-]{8,}"
)
_HEADERS = re.compile(r"""(?P<name>(?<![\w.-])["']?headers["']?\s*:\s*)\{[^{}]{1,2000}\}""")
MASK = "•••••"


def told(text: str, limit: int) -> str:
    """What a program said, such as a note or an error: one line without secrets."""
    return line(mask(text[: 4 * limit]), limit)


def harmless(name: str, value: str) -> bool:
    """Whether this only looks like a secret: `monitor_key: desk`, `max_tokens: 256`, a reference such as `${KEY}`."""
    name = name.lower()
    counted = _COUNTED.fullmatch(name) is not None and value.replace("_", "").isdigit()
    return counted or _HARMLESS.fullmatch(name) is not None or _PLAIN.fullmatch(value) is not None


def mask(text: str) -> str:
    """The text without secrets: passwords inside URLs, values after a name such as `api_key`, a mapping of `headers`,
    well-known token shapes.

    For single lines, such as the message of an error; `mask_yaml` knows lines that go on below.
    """
    text = _SHAPES.sub(MASK, _USERINFO.sub(rf"\g<scheme>\g<user>:{MASK}@", text))
    text = _HEADERS.sub(rf"\g<name>{MASK}", text)
    parts: list[str] = []
    done = 0
    for named in _NAMED.finditer(text):
        if named.start() < done or harmless(named["name"], ""):
            continue
        value = _VALUE.match(text, named.end())
        if value and not harmless(named["name"], value[1]):
            parts += [text[done : value.start(1)], MASK]
            done = value.end(1)
    return "".join((*parts, text[done:]))


_KEY_LINE = re.compile(
    rf"""(?ix)^(?P<indent>\s*(?:-\s+)*)["']?(?P<name>{_SECRET_NAME}|headers)["']?(?P<sep>\s*:(?:\s+|$))(?P<rest>.*)$"""
)


def mask_yaml(text: str) -> str:
    """A YAML (or JSON) text without secrets. What is indented below a secret's name belongs to it.

    A reference `${NAME}` is left: it names the secret without holding it.
    """
    kept: list[str] = []
    inside: int | None = None
    bare = False
    for each in text.splitlines():
        depth = len(each) - len(each.lstrip(" \t"))
        listed = bare and depth == inside and each[depth : depth + 2] == "- "
        if inside is not None and (not each.strip() or depth > inside or listed):
            kept.append(each[:depth] + (MASK if each.strip() else ""))
            continue
        inside = None
        found = _KEY_LINE.match(each)
        rest = found["rest"].partition(" #")[0].strip() if found else ""
        if found is None or harmless(found["name"], rest):
            kept.append(mask(each))
            continue
        inside, bare = len(found["indent"]), not rest
        kept.append(each[: found.start("rest")] + (MASK if rest else ""))
    return "\n".join(kept) + ("\n" if text.endswith("\n") else "")
