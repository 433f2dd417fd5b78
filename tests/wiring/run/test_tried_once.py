"""A failure that no other try can help is tried once."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.wiring.project import Project

CONFIG = """\
name: once
source: {type: file, name: once, path: items.jsonl, window: all}
evaluation: {max_failure_share: 1}
metrics_config:
  Judge: {class: llm_judge, model: offline, rubric: "Is it right?", scale: pass_fail}
  Short: {class: length, max_chars: 20}
"""


def test_a_text_that_is_too_long_for_the_judge_is_not_tried_again(tmp_path: Path) -> None:
    """Its item is finished with the scores that it has; one that failed for another reason waits for its next try."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG)
    project.write("items.jsonl", json.dumps({"id": "long", "query": "q", "actual_output": "x" * 100_001}) + "\n")
    done = project.run("m.yaml", "--json", "--quiet")
    report = json.loads(done.stdout)
    assert report["failure_kinds"] == {"JudgeTooLong": 1}
    assert any("1 item(s) are not tried again" in note for note in report["notes"])
    again = json.loads(project.run("m.yaml", "--json", "--quiet").stdout)
    assert again["status"] == "nothing_new" and again["counts"]["failures"] == 0
    assert [(item, label) for item, label, _ in project.scores()] == [("long", "Short")]


FILTERED = {"finish_reason": "content_filter", "message": {"role": "assistant", "content": ""}}
WONT = {"finish_reason": "stop", "message": {"role": "assistant", "content": None, "refusal": "I can't help with that"}}
REFUSALS: Mapping[str, tuple[int, dict[str, Any]]] = {
    "filter": (200, {"choices": [{"index": 0, **FILTERED}]}),
    "refusal": (200, {"choices": [{"index": 0, **WONT}]}),
    "azure": (400, {"error": {"code": "content_filter", "message": "The prompt triggered the content policy"}}),
    "moderated": (403, {"error": {"message": "Your input was flagged by moderation"}}),
    "invalid": (400, {"error": {"message": "Invalid 'messages[1].content': invalid surrogate in string"}}),
    "context": (400, {"error": {"code": "context_length_exceeded", "message": "maximum context length is 8192"}}),
    "large": (413, {"error": {"message": "Request Entity Too Large"}}),
    "unprocessable": (422, {"detail": "content cannot be processed"}),
    "schema": (500, {"error": {"message": "failed to parse response_format for this text"}}),
    "down": (500, {"error": {"message": "internal error"}}),
    "prose": (200, {"choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "It is right."}}]}),
}


class Judge:
    """An OpenAI-compatible server: it judges every text well, except those that hold a name of `REFUSALS` in braces."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        judge = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, body = judge.answer(json.loads(sent), sent)
                text = json.dumps({"model": "m", "usage": {}, **body}).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def answer(self, body: Mapping[str, Any], sent: str) -> tuple[int, dict[str, Any]]:
        named = re.search(rf"\{{({'|'.join(REFUSALS)})\}}", sent)
        self.asked.append(named[1] if named else "well")
        if named:
            return REFUSALS[named[1]]
        check = re.search(r'value of "check" is "(\w+)"', str(body["messages"]))
        keys = body["response_format"]["json_schema"]["schema"]["properties"]
        verdict = {
            key: "because" if key == "reason" else check[1] if check and key == "check" else "pass" for key in keys
        }
        message = {"role": "assistant", "content": json.dumps(verdict)}
        return 200, {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def judge() -> Iterator[Judge]:
    made = Judge()
    yield made
    made.close()


def judged(folder: Path, judge: Judge, texts: Sequence[str], more: str = "") -> Project:
    project = Project(folder)
    model = f"{{type: openai_compatible, base_url: '{judge.url}', model: m, tries: 1}}"
    text = CONFIG.replace("model: offline", "model: judge").replace(
        "evaluation:", f"models: {{judge: {model}}}\nevaluation:"
    )
    project.write("m.yaml", text + more)
    rows = [{"id": f"i{n}", "query": "q", "actual_output": each} for n, each in enumerate(texts)]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return project


def run(project: Project, *arguments: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(project.run("m.yaml", "--json", "--quiet", *arguments).stdout)
    return found


PASSING = ("down", "prose")


@pytest.mark.parametrize("name", [each for each in REFUSALS if each not in PASSING])
@pytest.mark.parametrize("others", [0, 3])
def test_what_a_server_refuses_for_good_is_asked_once(tmp_path: Path, judge: Judge, name: str, others: int) -> None:
    """By all runs together, whether the item came alone or first among others; it has its other scores."""
    project = judged(tmp_path, judge, [f"{{{name}}}", *["fine"] * others])
    first = run(project)
    assert (first["counts"]["failed_items"], first["counts"]["scored"]) == (1, others)
    assert any("1 item(s) are not tried again" in note for note in first["notes"])
    assert [run(project)["status"] for _ in range(2)] == ["nothing_new"] * 2
    assert judge.asked.count(name) == 1
    assert [label for item, label, _ in project.scores() if item == "i0"] == ["Short"]


@pytest.mark.parametrize("name", PASSING)
def test_what_may_pass_is_tried_again(tmp_path: Path, judge: Judge, name: str) -> None:
    """A server that is down, an answer that another try may better."""
    project = judged(tmp_path, judge, [f"{{{name}}}", "fine"])
    for _ in range(2):
        assert run(project)["counts"]["failures"] == 1


def test_a_metric_that_everything_is_refused_of_is_tried_again(tmp_path: Path, judge: Judge) -> None:
    """It may be set up wrongly: nothing is given up before the configuration can be corrected."""
    project = judged(tmp_path, judge, ["{invalid}"] * 6)
    for _ in range(2):
        report = run(project)
        assert report["counts"]["failures"] == 6
        assert not any("not tried again" in note for note in report["notes"])


@pytest.mark.parametrize("texts", [["{invalid}"], ["fine", "{invalid}"]])
def test_a_strict_share_of_failures_keeps_what_is_refused_of_a_whole_run(
    tmp_path: Path, judge: Judge, texts: list[str]
) -> None:
    """Under `max_failure_share` a run in which the metric gave nothing at all gives nothing up."""
    project = judged(tmp_path, judge, texts)
    run(project, "--set", "evaluation.max_failure_share=0.1")
    again = run(project, "--set", "evaluation.max_failure_share=0.1")
    assert (again["status"] == "nothing_new") == ("fine" in texts)


def test_an_item_that_is_given_up_has_its_nodes(tmp_path: Path, judge: Judge) -> None:
    """A node that leaves failed children out is scored in the end, whenever the item is given up."""
    nodes = "  model: {Both: {Judge: , Short: , _exclude_failed: true}}\n"
    project = judged(tmp_path, judge, ["{invalid}", *["fine"] * 3])
    text = (project.folder / "m.yaml").read_text()
    project.write(
        "m.yaml",
        text.replace("evaluation: {max_failure_share: 1}", "evaluation:\n  max_failure_share: 1\n" + nodes.rstrip()),
    )
    reports = [run(project) for _ in range(6)]
    assert reports[-1]["status"] == "nothing_new"
    assert {label for item, label, _ in project.scores() if item == "i0"} == {"Both", "Short"}


OWN = """\
from shared.core.errors import ItemError
from shared.scoring.metric import metric


class BadRequestError(Exception):
    pass


@metric(version="1")
def judge(item) -> float:
    for error in (BadRequestError, ItemError, ValueError):
        if item.actual_output == error.__name__:
            raise error("no")
    return 1.0
"""


@pytest.mark.parametrize(("error", "tries"), [("BadRequestError", 1), ("ItemError", 1), ("ValueError", 3)])
def test_own_metrics_and_those_of_packages_tell_by_their_errors(tmp_path: Path, error: str, tries: int) -> None:
    """A request that a package calls bad, and `ItemError`, are tried once; other errors again."""
    project = Project(tmp_path)
    project.write("own.py", OWN)
    project.write("m.yaml", CONFIG[: CONFIG.index("  Judge")] + "  Own: {class: 'own:judge'}\n")
    rows = [{"id": f"i{n}", "actual_output": each} for n, each in enumerate((error, "fine"))]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert sum(run(project)["counts"]["failures"] for _ in range(3)) == tries
