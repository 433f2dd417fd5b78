"""The `run:` blocks of the workflows, with the environment and the expressions that GitHub would give them."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]

Contexts = Mapping[str, Mapping[str, object]]
"""What expressions read: `inputs`, `vars`, `github`, ... -> name -> value."""

_EXPRESSION = re.compile(r"\$\{\{(.*?)\}\}", re.S)
_TOKEN = re.compile(r"\s*(?:'((?:[^']|'')*)'|(\|\||&&|==|!=|!|\(|\)|,)|([\w.-]+(?:\(\))?))")
_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "fromJSON": json.loads,
    "toJSON": json.dumps,
    "format": lambda text, *values: text.format(*values),
}


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
    inputs = (workflow["on"].get("workflow_dispatch") or {}).get("inputs", {})
    kinds = {name: given.get("type", "string") for name, given in inputs.items()}
    return {
        name: given.get("default") == "true" if kinds[name] == "boolean" else given.get("default", "")
        for name, given in inputs.items()
    }


def blocks(name: str, workflow: Mapping[str, Any], contexts: Contexts) -> Iterator[Block]:
    """The blocks of the jobs that would run, for every entry of a matrix one after another."""
    for job, given in workflow["jobs"].items():
        if "if" in given and not evaluate(given["if"], contexts):
            continue
        for matrix in _matrix(given.get("strategy", {}).get("matrix", {}), contexts):
            yield from _job_blocks((name, job), workflow, given, {**contexts, "matrix": matrix})


def _matrix(given: Mapping[str, Any], contexts: Contexts) -> Iterator[Mapping[str, object]]:
    """The entries of a matrix; where it has none, one empty entry."""
    lists: list[list[object]] = []
    for values in given.values():
        found = evaluate(values, contexts) if isinstance(values, str) else values
        assert isinstance(found, list) and found, f"no entries: {values}"
        lists.append(found)
    for entry in itertools.product(*lists):
        yield dict(zip(given, entry, strict=True))


def _job_blocks(
    where: tuple[str, str], workflow: Mapping[str, Any], given: Mapping[str, Any], known: Contexts
) -> Iterator[Block]:
    """The blocks of one job."""
    env: dict[str, str] = {}
    for part in (workflow.get("env", {}), given.get("env", {})):
        env |= {key: expand(value, {**known, "env": env}) for key, value in part.items()}
    for step in given["steps"]:
        own = env | {key: expand(value, {**known, "env": env}) for key, value in step.get("env", {}).items()}
        if "run" in step:
            yield Block(*where, expand(step["run"], {**known, "env": own}), own)


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
        value = quoted.replace("''", "'") if quoted is not None else _FUNCTIONS.get(name) or _look_up(name, contexts)
        values.append(value)
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
