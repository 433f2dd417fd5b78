"""Required and best-effort sinks, `trueline publish`, and what is told of it, as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.wiring.project import CONFIG, Project


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def configured(project: Project, files: str = "directory: out") -> None:
    """A monitor whose folder for files cannot be made, until `mend`."""
    project.write("m.yaml", CONFIG + f"publishing: {{files: {{{files}}}}}\n")
    project.write("out", "a file stands where the folder should be")


def mend(project: Project) -> None:
    (project.folder / "out").unlink()


def told(project: Project, code: int, *words: str, **environment: str) -> str:
    done = project.run(*words, **environment)
    assert done.returncode == code, done.stderr + done.stdout
    return done.stdout + done.stderr


def words(text: str) -> str:
    """The text on one line: notes are wrapped to the width of the terminal."""
    return " ".join(text.split())


def rows(project: Project) -> list[str]:
    lines = [line for file in (project.folder / "out").rglob("*.jsonl") for line in file.read_text().splitlines()]
    return sorted(json.loads(line)["item_id"] for line in lines)


def test_a_required_sink_that_is_down_fails_the_run_and_is_drained_later(project: Project) -> None:
    """Scores are stored, the run says what waits and how to drain it; `publish` brings it there once, unscored."""
    configured(project)
    text = words(told(project, 1, "m.yaml"))
    assert "Not all published" in text and "8 items scored" in text
    assert "1 batch(es) wait for file:out" in text and "trueline publish CONFIG --pending" in text
    listed = told(project, 1, "publish", "m.yaml", "--list")
    assert "file:out (batches): 1 pending" in listed and "cannot be written" in listed
    assert listed.startswith("file:cli / cli\n") and "marked\n" not in listed
    assert "1 batch(es) wait" in told(project, 1, "publish", "m.yaml", "--pending")
    assert "pending" in told(project, 0, "runs", "m.yaml", "show")
    story = told(project, 0, "explain", "m.yaml", "i1")
    assert "publishing it is not finished" in story and "file:out: pending, 2 tries" in story
    mend(project)
    (project.folder / "items.jsonl").unlink()
    drained = told(project, 0, "publish", "m.yaml", "--pending")
    assert "8 item(s) processed" in drained and "1 verified" in drained
    assert rows(project) == sorted([f"i{n}" for n in range(8)] * 2)
    assert "file:out: verified, 3 tries" in told(project, 0, "explain", "m.yaml", "i1")
    assert "nothing new" in told(project, 0, "publish", "m.yaml", "--pending")


def test_a_best_effort_sink_fails_no_run(project: Project) -> None:
    """The items are marked; the next run brings the sink what it missed."""
    configured(project, "directory: out, required: false")
    text = told(project, 0, "m.yaml")
    assert "file:out (batches, best effort): 1 pending" in text and "Done" in text
    assert "(best effort)" in told(project, 0, "check", "m.yaml")
    mend(project)
    told(project, 0, "m.yaml")
    assert len(rows(project)) == 16


def test_what_a_run_without_memory_left_is_drained_too(project: Project) -> None:
    """Each such run has a stream of its own, and no later run ever looks there."""
    configured(project)
    told(project, 1, "m.yaml", "--no-dedup", "--publish")
    mend(project)
    values: Any = json.loads(told(project, 0, "publish", "m.yaml", "--pending", "--json"))
    (stream,) = values["streams"]
    assert stream["stream"].startswith("file:cli / cli@") and stream["published"][0]["verified"] == 1
    assert len(rows(project)) == 16


def test_reports_show_what_became_of_scores(project: Project) -> None:
    """The page, the JSON and the stored run say the same."""
    configured(project)
    values: Any = json.loads(project.run("m.yaml", "--json", "--quiet").stdout)
    (sink,) = values["published"]
    assert (sink["sink"], sink["required"], sink["pending"], sink["verified"]) == ("file:out", True, 1, 0)
    page = (project.folder / "data" / "reports" / "cli.html").read_text()
    assert "Not all published" in page and 'id="published"' in page and "cannot be written" in page
    shown: Any = json.loads(told(project, 0, "runs", "m.yaml", "show", "--json"))
    assert shown["published"] == values["published"] and shown["status"] == "unpublished"


def test_publish_says_what_it_needs(project: Project) -> None:
    """An option, a state, and a sink."""
    assert "--pending (deliver pending scores)" in told(project, 2, "publish", "m.yaml")
    assert "names no sink" in told(project, 2, "publish", "m.yaml", "--pending")
    configured(project)
    assert "run the monitor first" in told(project, 2, "publish", "m.yaml", "--pending")


@pytest.mark.parametrize(
    ("files", "said"),
    [
        (
            "directory: out, required: maybe",
            "files.required: found 'maybe' (a string); expected a boolean",
        ),
        ("directory: out, requird: false", "Did you mean 'required'?"),
    ],
)
def test_a_wrong_required_is_said(project: Project, files: str, said: str) -> None:
    """With place, what was found and what was expected, before any work."""
    configured(project, files)
    assert said in told(project, 2, "check", "m.yaml")


def test_a_required_sink_that_cannot_pack_is_named(project: Project) -> None:
    """The run fails with the name of the sink, and the run after its repair publishes without scoring again."""
    configured(project)
    config = (project.folder / "m.yaml").read_text().partition("publishing:")[0]
    (project.folder / "m.yaml").write_text(config + "publishing: {sinks: [{type: 'packing:Sink', name: mine}]}\n")
    module = project.folder / "packing.py"
    module.write_text(BROKEN_PACK)
    assert "sink 'mine': a batch of 8 items: it could not be packed: KeyError: 'trace'" in told(project, 1, "m.yaml")
    module.write_text(BROKEN_PACK.replace('raise KeyError("trace")', "return PackedBatch()"))
    assert "8 item(s) processed" in told(project, 0, "publish", "m.yaml", "--pending")


BROKEN_PACK = """
from shared.core.state.outbox import PackedBatch

class Sink:
    name = "mine"
    def pack(self, batch):
        raise KeyError("trace")
    async def send(self, messages): return []
    async def verify(self, messages): return []
    async def aclose(self): pass
"""


def test_the_folder_of_a_shell_is_no_secret(project: Project) -> None:
    """PWD and OLDPWD end like the names of passwords; a path in a message is shown as it is."""
    configured(project)
    folder = str(project.folder)
    text = told(project, 1, "m.yaml", "--set", f"publishing.files.directory={folder}/out", OLDPWD=folder, PWD=folder)
    assert f"{folder}/out" in text.replace("\n", "") and "[KEY]" not in text
