"""docs/extending.md: each example is one file and one configuration, run through the command line as they stand."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.house.houseplan import ROOT
from tests.wiring.project import Project

PAGE = (ROOT / "docs" / "extending.md").read_text()
_BLOCKS = re.compile(r"^```python\n(.*?)^```\n\n```yaml\n(.*?)^```$", re.M | re.S)
SECTIONS = {
    section.partition("\n")[0]: found.groups()
    for section in re.split(r"^## ", PAGE, flags=re.M)
    if (found := _BLOCKS.search(section)) is not None
}
LINES = {"A metric": 30, "An extractor": 30, "A source": 60, "A sink": 60}


def project_of(folder: Path, title: str) -> Project:
    """The example in a project of its own, with what its configuration reads."""
    code, config = SECTIONS[title]
    project = Project(folder)
    project.write(code.splitlines()[0].removeprefix("# "), code)
    project.write("m.yaml", config)
    for number in range(3):
        project.write(f"answers/t{number}.txt", "short")
    project.write("votes.txt", "".join(f"i{number} Short up\n" for number in range(8)))
    return project


@pytest.mark.parametrize("title", SECTIONS)
def test_an_example_runs_and_remembers(tmp_path: Path, title: str) -> None:
    """The command succeeds, scores something, and finds nothing new the second time."""
    project = project_of(tmp_path, title)
    runs = [project.run("m.yaml", "--json", "--quiet", PYTHONPATH=str(tmp_path)) for _ in range(2)]
    assert [run.returncode for run in runs] == [0, 0], runs[0].stderr + runs[1].stderr
    first, second = (json.loads(run.stdout)["counts"]["scored"] for run in runs)
    assert first == {"A source": 3, "An extractor": 7}.get(title, 8)
    assert second == 0
    assert len(SECTIONS[title][0].splitlines()) <= LINES.get(title, 60)


def test_every_section_has_its_example() -> None:
    """No part is described without an example that runs."""
    headings = re.findall(r"^## (An? .*)$", PAGE, re.M)
    assert headings == [*SECTIONS, "A notifier"]
    assert len(SECTIONS) == 7


def test_a_sink_of_ones_own_has_its_outbox(tmp_path: Path) -> None:
    """Its rows are written once; a best effort one that fails fails no run, a required one holds the items back."""
    project = project_of(tmp_path, "A sink")
    path = {"PYTHONPATH": str(tmp_path)}
    project.write("lines", "in the way")
    failed = project.run("m.yaml", "--quiet", **path)
    assert failed.returncode == 1 and "lines" in failed.stderr + failed.stdout
    (tmp_path / "lines").unlink()
    done = project.run("publish", "m.yaml", "--pending", **path)
    assert done.returncode == 0, done.stderr
    rows = [line for file in (tmp_path / "lines").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert len(rows) == len(set(rows)) == 8


def test_a_sink_of_ones_own_is_given_redacted_texts_and_named_metrics_only(tmp_path: Path) -> None:
    """SAFE_MODE and `metric_names` apply to every sink."""
    project = project_of(tmp_path, "A sink")
    config = SECTIONS["A sink"][1].replace("  sinks:", "  metric_names: [Exact]\n  sinks:")
    project.write("m.yaml", config.replace("metrics_config:\n", "metrics_config:\n  Exact: {class: exact_match}\n"))
    project.write("items.jsonl", json.dumps({"id": "jane@example.com", "actual_output": "a", "expected_output": "a"}))
    done = project.run("m.yaml", "--quiet", PYTHONPATH=str(tmp_path), SAFE_MODE="1", PRIVACY_KEY="k")
    assert done.returncode == 0, done.stderr
    (row,) = [line for file in (tmp_path / "lines").glob("*.jsonl") for line in file.read_text().splitlines()]
    assert json.loads(row)["metric"] == "Exact" and "jane@" not in row


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("directory: lines}", "directry: lines}", r"m.yaml:7  publishing.sinks\[0\].directry: unknown key 'directry'"),
        (", directory: lines}", "}", r"publishing.sinks\[0\].directory: 'directory' is missing"),
        ("directory: lines}", "directory: 3}", r"m.yaml:7  publishing.sinks\[0\].directory: found 3"),
        ("my_sink:LineSink", "my_sink:LineSnk", r"m.yaml:7  publishing.sinks\[0\].type: .*'LineSnk'"),
        ("my_sink:LineSink", "my_sink:Path", r"makes no sink|cannot be constructed|unknown key"),
        ("type: file", "type: fiel", r"publishing.sinks\[1\].type: unknown sink 'fiel'.*Did you mean 'file'"),
        ("type: file, directory: rows", "name: lines, type: file, directory: rows", r"two sinks are called 'lines'"),
    ],
)
def test_mistakes_in_a_sink_are_reported_with_their_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A sink of one's own is checked as ours are, before the run starts."""
    project = project_of(tmp_path, "A sink")
    project.write("m.yaml", SECTIONS["A sink"][1].replace(old, new))
    done = project.run("m.yaml", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert re.search(message, done.stderr), done.stderr


def test_the_older_keys_mean_the_same_objects(tmp_path: Path) -> None:
    """`files: {...}` and an entry of `sinks` write the same rows, under the same name in the outbox."""
    project = project_of(tmp_path, "A sink")
    both = []
    for block in ("files: {directory: out}", "sinks: [{type: file, directory: out}]"):
        text = re.sub(r"publishing:.*", f"publishing: {{{block}}}\n", SECTIONS["A sink"][1], flags=re.S)
        project.write("m.yaml", text)
        both.append(project.run("check", "m.yaml").stdout)
    assert "file:out" in both[0] and both[0] == both[1]
