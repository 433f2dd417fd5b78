"""From a prompt with placeholders to what a model is asked.

A placeholder is `{{ name }}` or `{{ user.name }}`: the variable of that very name, else a value inside a mapping. A
chat prompt may hold placeholders for whole messages (`{"type": "placeholder", "name": "history"}`). Values are put in
once and never read as templates themselves, so a user's text that holds `{{x}}` stays what it is.
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
    """A prompt cannot be compiled: `missing` variables, and what is `left_over` in double braces that names none."""

    def __init__(
        self, prompt: LangfusePrompt, missing: Sequence[str], left_over: Sequence[str], given: Collection[str]
    ) -> None:
        self.missing = tuple(missing)
        self.left_over = tuple(left_over)
        said = [f"prompt {prompt.name!r}, version {prompt.version}:"]
        if missing:
            said.append(f"Missing prompt variables: {list(missing)}; given were {sorted(given)}.")
        if useless := [name for name in missing if name in given]:
            said.append(f"{useless}: None is no value, and a placeholder for messages takes a list of messages.")
        if left_over:
            said.append(f"Unrendered prompt variables: {list(left_over)}; a name is letters, digits, '_' and '.'.")
        super().__init__(" ".join(said))


@dataclass(frozen=True, slots=True)
class Strictness:
    """What must be there. `template`: a value for every placeholder, and nothing left in double braces; `required`:
    the `required` variables only; `none`: nothing. What has no value stays in the text as it is. A variable that is
    None has no value. With `fallback_on_error` a prompt that cannot be compiled is replaced by the fallback, if the
    caller has given one.
    """

    mode: StrictMode = "template"
    required: Collection[str] = ()
    fallback_on_error: bool = True


def compile_prompt(
    prompt: LangfusePrompt, variables: Mapping[str, Any], strictness: Strictness = Strictness()
) -> Compiled:
    """The prompt with its variables put in: a text, or a list of messages.

    Raises:
        PromptVariablesError: for what is missing or left over.
    """
    work = _Compilation(variables)
    content = prompt.content
    made: Compiled = work.text(content) if isinstance(content, str) else work.messages(content)
    absent = [name for name in strictness.required if work.value(name) is None]
    missing: list[str] = [] if strictness.mode == "none" else absent
    left_over: list[str] = []
    if strictness.mode == "template":
        missing = list(dict.fromkeys([*absent, *work.missing]))
        left_over = list(dict.fromkeys(work.left_over))
    if missing or left_over:
        raise PromptVariablesError(prompt, missing, left_over, variables.keys())
    return made


class _Compilation:
    """One compilation, and what it found wanting."""

    def __init__(self, variables: Mapping[str, Any]) -> None:
        self._variables = variables
        self.missing: list[str] = []
        self.left_over: list[str] = []

    def value(self, name: str) -> Any:
        """The variable of that name, or the value at that path; None without one."""
        if name in self._variables:
            return self._variables[name]
        found: Any = self._variables
        for part in name.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        return found

    def text(self, template: str) -> str:
        def fill(match: re.Match[str]) -> str:
            value = self.value(match[1])
            if value is None:
                self.missing.append(match[1])
                return match[0]
            return value if isinstance(value, str) else _to_text(value)

        self.left_over += [each for each in _BRACES.findall(template) if not _NAME.fullmatch(each)]
        return _NAME.sub(fill, template)

    def messages(self, content: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        made: list[Mapping[str, Any]] = []
        for message in content:
            if message.get("type") == "placeholder":
                made += self._history(message)
            elif isinstance(message.get("content"), str):
                made.append({**message, "content": self.text(message["content"])})
            else:
                made.append(message)
        return made

    def _history(self, placeholder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
        name = str(placeholder.get("name", ""))
        value = self.value(name)
        if isinstance(value, Sequence) and all(isinstance(each, Mapping) for each in value):
            return list(value)
        self.missing.append(name)  # a text where messages are expected is as good as none
        return [placeholder]


def _to_text(value: Any) -> str:
    if isinstance(value, Mapping | Sequence):
        return to_json(value, fallback=str).decode()
    return str(value)
