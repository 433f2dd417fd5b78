"""Compiles a prompt: replaces its placeholders with the values of variables.

A placeholder is `{{ name }}` or `{{ user.name }}`: the variable of that very name, else a value inside a mapping. A
chat prompt may hold placeholders for whole messages (`{"type": "placeholder", "name": "history"}`). Values are
inserted once and never parsed as templates, so a user's text that holds `{{x}}` stays as it is.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

from shared.core.errors import ItemError
from shared.langfuse.api.prompt_api import LangfusePrompt

_NAME = re.compile(r"\{\{\s*([a-zA-Z_][\w.]*)\s*\}\}")
_BRACES = re.compile(r"\{\{[^{}]*\}\}")

StrictMode = Literal["template", "required", "none"]
Compiled = str | list[Mapping[str, Any]]


class PromptVariablesError(ItemError, ValueError):
    """A prompt cannot be compiled: `missing` variables, and `left_over` double braces that name no variable."""

    def __init__(
        self, prompt: LangfusePrompt, missing: Sequence[str], left_over: Sequence[str], given: Collection[str]
    ) -> None:
        self.missing = tuple(missing)
        self.left_over = tuple(left_over)
        parts = [f"prompt {prompt.name!r}, version {prompt.version}:"]
        if missing:
            parts.append(f"Missing prompt variables: {list(missing)}; given: {sorted(given)}.")
        if useless := [name for name in missing if name in given]:
            parts.append(
                f"{useless}: None does not count as a value; a placeholder for messages takes a list of messages."
            )
        if left_over:
            parts.append(
                f"Unrendered prompt variables: {list(left_over)}; a name consists of letters, digits, '_' and '.'."
            )
        super().__init__(" ".join(parts))


@dataclass(frozen=True, slots=True)
class Strictness:
    """What a compilation requires. `template`: a value for every placeholder, and no double braces left over;
    `required`: the `required` variables only; `none`: nothing. A placeholder without value stays in the text.
    A variable that is None has no value. With `fallback_on_error` a prompt that cannot be compiled is replaced by the
    fallback, if the caller has given one.
    """

    mode: StrictMode = "template"
    required: Collection[str] = ()
    fallback_on_error: bool = True


def compile_prompt(
    prompt: LangfusePrompt, variables: Mapping[str, Any], strictness: Strictness = Strictness()
) -> Compiled:
    """Compile a prompt: a string, or a list of messages.

    Raises:
        PromptVariablesError: for missing variables and left-over braces.
    """
    run = _Compilation(variables)
    content = prompt.content
    made: Compiled = run.compile_text(content) if isinstance(content, str) else run.compile_messages(content)
    absent = [name for name in strictness.required if run.find_value(name) is None]
    missing: list[str] = [] if strictness.mode == "none" else absent
    left_over: list[str] = []
    if strictness.mode == "template":
        missing = list(dict.fromkeys([*absent, *run.missing]))
        left_over = list(dict.fromkeys(run.left_over))
    if missing or left_over:
        raise PromptVariablesError(prompt, missing, left_over, variables.keys())
    return made


class _Compilation:
    """One compilation: what it found missing and left over."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self.missing: list[str] = []
        self.left_over: list[str] = []

    def find_value(self, name: str) -> object:
        """The variable of that name, or the value at that path; None without one."""
        if name in self._variables:
            return self._variables[name]
        found: object = self._variables
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def compile_text(self, template: str) -> str:
        def fill(match: re.Match[str]) -> str:
            value = self.find_value(match[1])
            if value is None:
                self.missing.append(match[1])
                return match[0]
            return value if isinstance(value, str) else _to_text(value)

        self.left_over += [each for each in _BRACES.findall(template) if not _NAME.fullmatch(each)]
        return _NAME.sub(fill, template)

    def compile_messages(self, content: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        made: list[Mapping[str, Any]] = []
        for message in content:
            if message.get("type") == "placeholder":
                made += self._history(message)
            elif isinstance(message.get("content"), str):
                made.append({**message, "content": self.compile_text(message["content"])})
            else:
                made.append(message)
        return made

    def _history(self, placeholder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        name = str(placeholder.get("name", ""))
        value = self.find_value(name)
        if isinstance(value, Sequence) and all(isinstance(each, Mapping) for each in value):
            return list(value)
        self.missing.append(name)  # a string where messages are expected counts as missing
        return [placeholder]


def _to_text(value: object) -> str:
    if isinstance(value, Mapping | Sequence):
        return to_json(value, fallback=str).decode()
    return str(value)
