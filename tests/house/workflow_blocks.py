"""The `run:` blocks of the workflows, with the environment and the expressions that GitHub would give them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

Contexts = Mapping[str, Mapping[str, object]]
"""What expressions read: `inputs`, `vars`, `github`, ... -> name -> value."""

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.S)
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\|\||&&|==|!=|!|\(|\))|([\w.-]+(?:\(\))?))")


@dataclass(frozen=True)
class Block:
    """One `run:` block as a shell gets it."""

    workflow: str
    job: str
    script: str
    env: Mapping[str, str]


def workflows() -> dict[str, dict[str, Any]]:
    """Every workflow by its file's name."""
    return {
        path.name: yaml.load(path.read_text(), yaml.BaseLoader)  # `on` is a name here, and `true` is text
        for path in sorted((ROOT / ".github" / "workflows").glob("*.y*ml"))
    }


def default_inputs(workflow: Mapping[str, Any]) -> dict[str, object]:
    """What a run by hand sends when nobody changes the form."""
    inputs = workflow["on"].get("workflow_dispatch", {}).get("inputs", {})
    kinds = {name: given.get("type", "string") for name, given in inputs.items()}
    return {
        name: given.get("default") == "true" if kinds[name] == "boolean" else given.get("default", "")
        for name, given in inputs.items()
    }


def blocks(name: str, workflow: Mapping[str, Any], contexts: Contexts) -> Iterator[Block]:
    """The blocks of the jobs that would run, for the first entry of a matrix."""
    for job, given in workflow["jobs"].items():
        matrix = {key: values[0] for key, values in given.get("strategy", {}).get("matrix", {}).items()}
        known = {**contexts, "matrix": matrix}
        if "if" in given and not evaluate(given["if"], known):
            continue
        env: dict[str, str] = {}
        for part in (workflow.get("env", {}), given.get("env", {})):
            env |= {key: expand(value, {**known, "env": env}) for key, value in part.items()}
        for step in given["steps"]:
            own = env | {key: expand(value, {**known, "env": env}) for key, value in step.get("env", {}).items()}
            if "run" in step:
                yield Block(name, job, expand(step["run"], {**known, "env": own}), own)


def expand(text: str, contexts: Contexts) -> str:
    """A text with its expressions replaced by what they are worth."""
    return _EXPRESSION.sub(lambda hit: _as_text(evaluate(hit[1], contexts)), text)


def evaluate(expression: str, contexts: Contexts) -> object:
    """The value of an expression; what is not there is None, as GitHub has it.

    Python's `or` and `and` give an operand, which is what GitHub's do.
    """
    values: list[object] = []
    parts: list[str] = []
    text = _EXPRESSION.sub(r"\1", expression).strip()
    for hit in _TOKEN.finditer(text):
        quoted, operator, name = hit.groups()
        if operator:
            parts.append({"||": "or", "&&": "and", "!": "not"}.get(operator, operator))
            continue
        values.append(quoted.replace("''", "'") if quoted is not None else _look_up(name, contexts))
        parts.append(f"values[{len(values) - 1}]")
    assert "".join(hit[0] for hit in _TOKEN.finditer(text)) == text, f"not understood: {expression}"
    found: object = eval(" ".join(parts), {"values": values})
    return found


def _look_up(name: str, contexts: Contexts) -> object:
    if name in ("always()", "success()", "true"):
        return True
    if name in ("failure()", "cancelled()", "false"):
        return False
    context, _, key = name.partition(".")
    return contexts[context].get(key)


def _as_text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
