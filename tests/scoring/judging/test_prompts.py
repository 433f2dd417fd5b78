"""Prompts are files with a version, and a text never changes under its version."""

import json
from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.scoring.judging import prompt_files
from shared.scoring.judging.prompt_files import JudgePrompt, load_prompt, load_user_prompt

FOLDER = Path(prompt_files.__file__).parent / "prompts"
PINNED = json.loads(Path(__file__).with_name("prompt_digests.json").read_text())
KNOWN = {"query": "", "actual_output": "", "rubric": ""}


def test_no_prompt_changes_without_a_new_version() -> None:
    """A changed text fails here: give it a new file `<name>.v<N+1>.j2`, and add that file's digest as one line."""
    shipped = {}
    for path in FOLDER.glob("*.j2"):
        name, _, version = path.stem.rpartition(".v")
        shipped[f"{name}@{version}"] = load_prompt(name, int(version)).sha256
    assert shipped == PINNED


def test_an_unknown_prompt_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown prompt 'llm_judg\.v1'.*Did you mean 'llm_judge\.v1'"):
        load_prompt("llm_judg", 1)


def written(folder: Path, text: str) -> str:
    path = folder / "t.j2"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{ actual_outptu }}", r"unknown variable 'actual_outptu'\. Known: .* Did you mean 'actual_output'\?"),
        ("{{ query", r"'t\.j2', line 1: "),
        ("\n{% include 'x' %}", "line 2: a prompt cannot read another file"),
        ("{% extends 'x' %}", "line 1: a prompt cannot read another file"),
        (" \n", "is empty"),
        ("{{ query.__class__.__mro__ }}", "SecurityError"),
        ("{{ query.nothing }}", "UndefinedError"),
        ("{{ 1 / 0 }}", "ZeroDivisionError"),
        ("{% for i in range(10000000) %}{% endfor %}", "OverflowError"),
    ],
)
def test_a_bad_template_of_the_users_is_told_when_it_is_read(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load_user_prompt(written(tmp_path, text), "t.j2", KNOWN)


def test_every_unknown_variable_of_a_template_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load_user_prompt(written(tmp_path, "{{ qury }} {{ rubrik }} {{ query }}"), "t.j2", KNOWN)
    assert [each.partition(". Known")[0] for each in sorted(error.value.problems)] == [
        "template 't.j2' has an unknown variable 'qury'",
        "template 't.j2' has an unknown variable 'rubrik'",
    ]


def test_a_template_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"template 'no\.j2' cannot be read: No such file"):
        load_user_prompt(str(tmp_path / "no.j2"), "no.j2", KNOWN)
    (tmp_path / "t.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_user_prompt(str(tmp_path / "t.j2"), "t.j2", KNOWN)


def test_values_are_never_templates() -> None:
    """Jinja syntax in a value is text."""
    made = JudgePrompt("x", 1, "{% block user %}{{ query }}{% endblock %}").blocks({"query": "{{ 7 * 7 }}{% raw %}"})
    assert made == {"user": "{{ 7 * 7 }}{% raw %}"}
