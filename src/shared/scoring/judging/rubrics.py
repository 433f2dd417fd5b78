"""What a judge is shown and asked, from its configuration: fields of the item, rubric or template, examples."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from shared.core.errors import ConfigError
from shared.core.records import CONTENT_FIELDS, FIELDS, DatasetItem
from shared.core.registry import hint
from shared.scoring.judging.judge_errors import JudgeError
from shared.scoring.judging.prompt_files import JudgePrompt, load_prompt, load_user_prompt
from shared.scoring.judging.scales import Scale
from shared.scoring.judging.verdicts import check_value

DEFAULT_FIELDS = ("query", "actual_output")
_SYSTEM = re.compile(r"\{% block system %\}.*?\{% endblock %\}", re.DOTALL)
_OWN = ("rubric", "scale", "examples", "data")


@dataclass(frozen=True, slots=True)
class JudgeInstructions:
    """What one judge is told: the prompt, the item's fields it sees, and the other values of the prompt."""

    prompt: JudgePrompt
    fields: tuple[str, ...]
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reads(self) -> tuple[str, ...]:
        """The top-level fields that decide its verdict."""
        roots = tuple(dict.fromkeys(path.split(".")[0] for path in self.fields))
        return roots if set(roots) <= set(FIELDS) else CONTENT_FIELDS

    def collect_judged(self, item: DatasetItem) -> dict[str, Any] | None:
        """The values of the fields; None when one of them is missing."""
        found = {path: item.get(path) for path in self.fields}
        return None if any(value is None for value in found.values()) else found


def check_fields(paths: Sequence[str]) -> tuple[str, ...]:
    """Dotted paths of an item, as they are.

    Raises:
        ConfigError: for one that no item has, or when there are none.
    """
    if not paths:
        raise ConfigError("fields: found none; expected what the judge is to see, such as [query, actual_output]")
    wrong = next((path for path in paths if not _is_value(path.split(".")[0])), None)
    if wrong is not None:
        raise ConfigError(f"fields: an item has no field {wrong!r}. {hint(wrong.split('.')[0], FIELDS)}")
    return tuple(dict.fromkeys(paths))


def _is_value(root: str) -> bool:
    """Whether an item has a value of that name, its own or one that is made of others."""
    return root in FIELDS or isinstance(getattr(DatasetItem, root, None), property)


def instructions_from_rubric(rubric: str, fields: Sequence[str] | None, values: Mapping[str, Any]) -> JudgeInstructions:
    """The shipped prompt with a rubric of the user's."""
    fields = DEFAULT_FIELDS if fields is None else fields
    return JudgeInstructions(load_prompt("llm_judge", 1), check_fields(fields), {**values, "rubric": rubric})


def instructions_from_template(
    path: str, shown_as: str, rubric: str | None, fields: Sequence[str] | None, values: Mapping[str, Any]
) -> JudgeInstructions:
    """A template of the user's. The judge sees the fields that it shows, and those of `fields` for its `data`.

    Raises:
        ConfigError: when the template cannot be used: see `prompts.user_prompt`; or shows nothing of the item.
    """
    listed = check_fields(fields) if fields is not None else ()
    names = {name: name for name in FIELDS} | {name.replace(".", "_"): name for name in listed}
    values = values if rubric is None else {**values, "rubric": rubric}
    known = dict.fromkeys(names, "…") | dict.fromkeys(("data",), "…") | dict(values)
    prompt = load_user_prompt(path, shown_as, known)
    used = prompt.variables
    if rubric is not None and "rubric" not in used:
        raise ConfigError(f"template {shown_as!r} does not show {{{{ rubric }}}}; take the rubric away, or show it")
    shown = [names[name] for name in used if name in names and name not in _OWN]
    if "data" in used:
        shown += listed or DEFAULT_FIELDS
    if not shown:
        raise ConfigError(f"template {shown_as!r} shows nothing of the item; expected {{{{ data }}}} or fields of it")
    unseen = next((each for each in listed if each not in shown), None)
    if unseen is not None:
        raise ConfigError(f"template {shown_as!r} does not show {unseen!r} of 'fields'; show it, or {{{{ data }}}}")
    return JudgeInstructions(_add_system_block(prompt), check_fields(shown), values)


def _add_system_block(prompt: JudgePrompt) -> JudgePrompt:
    """The template with the shipped system message, where it has none of its own."""
    text = prompt.text
    if "{% block" not in text.replace("{%- ", "{% "):
        text = f"{{% block user %}}{text}{{% endblock %}}"
    made = JudgePrompt(prompt.name, 0, text)
    if not re.search(r"\{%-?\s*block\s+user\b", text):
        raise ConfigError(f"template {prompt.name!r} has blocks, but no block 'user'")
    if re.search(r"\{%-?\s*block\s+system\b", text):
        return made
    system = _SYSTEM.search(load_prompt("llm_judge", 1).text)
    return JudgePrompt(prompt.name, 0, f"{system.group(0) if system else ''}{text}")


def format_examples(examples: Sequence[Mapping[str, Any]], key: str, scale: Scale, fields: Sequence[str]) -> list[str]:
    """Examples of verdicts as the prompt shows them: fields, then the verdict as JSON.

    Raises:
        ConfigError: for an example without a verdict on the scale, or with an unknown key.
    """
    names = [*fields, "reason", key]
    made = []
    for number, example in enumerate(examples):
        where = f"examples[{number}]"
        unknown = next((name for name in example if name not in names), None)
        if unknown is not None:
            raise ConfigError(f"{where}: unknown key {unknown!r}. {hint(str(unknown), names)}")
        if key not in example:
            raise ConfigError(f"{where} has no {key!r}; expected {scale.words}")
        try:
            raw = check_value(example[key], scale.schema, key)
        except JudgeError as error:
            raise ConfigError(f"{where}: {key!r} is {example[key]!r}; expected {scale.words}") from error
        lines = [f"{name}: {example[name]}" for name in fields if name in example]
        verdict = json.dumps({"reason": str(example.get("reason", "")), key: raw}, ensure_ascii=False)
        made.append("\n".join([*lines, f"verdict: {verdict}"]))
    return made
