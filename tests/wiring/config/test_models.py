"""`models:` in a configuration: metrics are given the models they name; what is wrong is told once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.llm.fake_batch_api import batches_standing_in
from tests.llm.fake_openai import StandIn, standing_in
from tests.wiring.project import Project, ran

METRIC = '''
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score


class Asks:
    """Asks a model about the answer; the score is 1 when it says anything."""

    def __init__(self, model: LMAdapter) -> None:
        self.model = model

    async def __call__(self, item: DatasetItem) -> Score:
        answer = await self.model.complete([{"role": "user", "content": item.actual_output}], max_tokens=20)
        return Score(float(bool(answer.text)), answer.text, {"cached": answer.cached}, model=answer.answered_by)
'''
CONFIG = """\
name: asking
source: {{type: file, name: asking, path: items.jsonl, window: all}}
models:
{models}
metrics_config:
  Says: {{class: "own:Asks", model: judge}}
"""


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as found:
        yield found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("own.py", METRIC)
    return made


def entry(server: StandIn, more: str = "") -> str:
    return f"  judge: {{type: openai_compatible, base_url: '{server.url}', model: small{more}}}"


def config(project: Project, models: str) -> None:
    project.write("m.yaml", CONFIG.format(models=models))


def test_a_metric_asks_the_model_it_names(project: Project, server: StandIn) -> None:
    """One question an item goes to the server, and the score says who answered."""
    config(project, entry(server))
    assert project.report()["counts"]["scored"] == 8
    assert len(server.questions) == 8
    assert {value for _, _, value in project.scores()} == {1.0}


def test_the_next_run_pays_nothing_for_equal_questions(project: Project, server: StandIn) -> None:
    """Scored anew, the items are answered from the response cache of the state database, unless it is switched off."""
    config(project, entry(server))
    assert project.report("--no-dedup")["counts"]["scored"] == 8
    assert project.report("--no-dedup")["counts"]["scored"] == 8
    assert len(server.questions) == 8
    assert "8 hits, 8 misses: 50.0%" in project.run("cache", "stats", "m.yaml").stdout
    project.report("--no-dedup", "--set", "response_cache.enabled=false")
    assert len(server.questions) == 16


def test_metrics_that_ask_the_same_at_once_pay_once(project: Project, server: StandIn) -> None:
    """Two metrics with one question ask it together, before any cache can hold the answer."""
    text = CONFIG.format(models=entry(server)) + '  Also: {class: "own:Asks", model: judge, threshold: 0.7}\n'
    project.write("m.yaml", text)
    assert project.report()["counts"]["scores"] == 16
    assert len(server.questions) == 8


def test_what_is_recorded_can_be_replayed_without_the_server(project: Project, server: StandIn) -> None:
    """`record` writes every answer; `replay` gives the same scores without a server, and they have the same digest."""
    config(project, entry(server, ", record: judge.jsonl"))
    project.report()
    before = project.scores()
    config(project, "  judge: {type: replay, path: judge.jsonl}")
    project.report("--no-dedup")
    assert len(server.questions) == 8
    digests = json.loads(project.run("check", "m.yaml", "--json").stdout)["metrics"][0]["digest"]
    config(project, entry(server))
    assert json.loads(project.run("check", "m.yaml", "--json").stdout)["metrics"][0]["digest"] == digests
    assert {row[2] for row in project.scores()} == {row[2] for row in before}


def test_a_key_in_the_file_is_neither_stored_nor_shown(project: Project, server: StandIn) -> None:
    """Not in the state, the page, `--json`, nor in the error of a key or header of another type."""
    config(project, entry(server, ", api_key: sk-in-the-file-0123456789, headers: {X-Auth: hunter2hunter2}"))
    shown = project.run("m.yaml", "--json").stdout + (project.folder / "data" / "reports" / "asking.html").read_text()
    state = b"".join(path.read_bytes() for path in (project.folder / "data" / "state").iterdir())
    assert b"model: small" in state
    shown += state.decode("latin-1")
    for wrong in ("api_key=20260101999", "headers={X-Auth: [hunter2hunter2]}", "headers=[hunter2hunter2]"):
        told = project.run("check", "m.yaml", "--set", f"models.judge.{wrong}")
        assert told.returncode == 2 and "; expected a" in told.stderr
        shown += told.stderr
    assert not [each for each in ("sk-in-the-file", "hunter2", "20260101999") if each in shown]


def test_a_key_is_sent_without_the_line_break_that_files_of_secrets_end_in(project: Project, server: StandIn) -> None:
    """Neither around the key nor around a header's value."""
    server.key = "sk-right"
    config(project, entry(server, ', api_key: "${JUDGE_KEY}", headers: {X-Auth: "${JUDGE_AUTH}"}'))
    done = project.run("m.yaml", JUDGE_KEY="sk-right\r\n", JUDGE_AUTH=" hunter2\n")
    assert done.returncode == 0, done.stderr
    headers = {name.lower(): value for name, value in server.questions[0].headers.items()}
    assert (headers["authorization"], headers["x-auth"]) == ("Bearer sk-right", "hunter2")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            {"JUDGE_KEY": "sk-li\nne", "JUDGE_AUTH": "a"},
            "m.yaml:4  models.judge.api_key: character 6 of 8 is a control",
        ),
        ({"JUDGE_KEY": "\n", "JUDGE_AUTH": "a"}, "m.yaml:4  models.judge.api_key: found an empty key"),
        (
            {"JUDGE_KEY": "a", "JUDGE_AUTH": "sk-li\rne"},
            "models.judge.headers: header 'X-Auth': character 6 of 8 is a control",
        ),
    ],
)
def test_a_key_that_no_header_can_hold_stops_the_run_unseen(
    project: Project, server: StandIn, given: dict[str, str], told: str
) -> None:
    """It is a mistake of the configuration, not an outage, and the message does not show it."""
    config(project, entry(server, ', api_key: "${JUDGE_KEY}", headers: {X-Auth: "${JUDGE_AUTH}"}'))
    done = project.run("m.yaml", **given)
    assert (done.returncode, len(server.seen)) == (2, 0)
    assert told in done.stderr and "sk-li" not in done.stdout + done.stderr


def test_a_limits_file_starts_from_the_project(project: Project, server: StandIn) -> None:
    """Jobs that start in different folders share it."""
    config(project, entry(server, ", limits_file: state/limits.json"))
    elsewhere = project.folder / "elsewhere"
    elsewhere.mkdir()
    done = ran(elsewhere, "run", str(project.folder / "m.yaml"))
    assert done.returncode == 0, done.stderr
    assert (project.folder / "state" / "limits.json.lock").exists()
    assert not list(elsewhere.rglob("limits*"))


def test_a_recording_is_said_to_be_raw_in_safe_mode(project: Project, server: StandIn) -> None:
    """A replay needs the texts as they were sent, so SAFE_MODE cannot take anything out of them: that is told."""
    config(project, entry(server, ", record: judge.jsonl"))
    assert not [note for note in project.report()["notes"] if "redacted" in note]
    told = project.run("m.yaml", "--no-dedup", SAFE_MODE="1").stdout
    assert "texts are not redacted in 'judge.jsonl'" in told


def test_a_replay_spends_no_tokens(project: Project, server: StandIn) -> None:
    """Its answers come from memory, so they count as such, and no budget of tokens is used."""
    config(project, entry(server, ", record: judge.jsonl"))
    project.report()
    config(project, "  judge: {type: replay, path: judge.jsonl}\nbudget: {tokens: 1}")
    report = json.loads(project.run("m.yaml", "--json", "--quiet", "--no-dedup").stdout)
    (row,) = report["usage"]
    assert (row["calls"], row["cached"], row["input"], row["output"]) == (0, 8, 0, 0)
    assert report["counts"]["scored"] == 8


def test_another_model_is_another_metric(project: Project, server: StandIn) -> None:
    """The model is part of a metric's digest: scores of two models are never taken for one another."""
    found = set()
    for model in ("small", "large"):
        config(project, f"  judge: {{type: openai_compatible, base_url: '{server.url}', model: {model}}}")
        found.add(json.loads(project.run("check", "m.yaml", "--json").stdout)["metrics"][0]["digest"])
    assert len(found) == 2


def test_a_declared_fallback_answers_in_an_outage(project: Project) -> None:
    """With nobody at the address the chain goes on to its end, and the score says who answered."""
    dead = "  judge: {type: openai_compatible, base_url: 'http://127.0.0.1:9/v1', model: small, tries: 1"
    config(project, dead + ", fallback: [offline]}")
    report = project.report()
    assert (report["counts"]["scored"], report["counts"]["failures"]) == (8, 0)
    config(project, dead + "}")
    done = project.run("m.yaml", "--no-dedup", "--json")
    assert done.returncode == 3
    assert json.loads(done.stdout)["failure_kinds"] == {"Unavailable": 8}


def test_a_wrong_key_is_said_once(project: Project, server: StandIn) -> None:
    """A key that no item can change ends the run with one message and exit code 2, and is not printed."""
    project.items(300)
    server.key = "sk-right"
    config(project, entry(server, ", api_key: 'sk-wrong-key-000'"))
    done = project.run("m.yaml")
    assert done.returncode == 2
    assert done.stderr.count("401") == 1
    assert "sk-wrong" not in done.stderr
    assert len(server.seen) < 12
    config(project, entry(server, ", api_key: 'sk-right'"))
    assert project.report()["counts"]["scored"] == 300


@pytest.mark.parametrize(
    ("models", "told"),
    [
        ("  juge: {type: offline}", "unknown model 'judge'; expected a name under `models`. Known: 'juge', 'offline'."),
        ("  judge: {type: ofline}", "unknown model adapter 'ofline'"),
        ("  judge: {type: openai_compatible, base_url: 'localhost:80', model: m}", "expected an address such as"),
        ("  judge: {type: openai_compatible, base_url: 'http://127.0.0.1/v1'}", "'model' is missing"),
        ("  judge: {type: offline, fallback: [jduge]}", "unknown model 'jduge'"),
        ("  judge: {type: offline, fallback: [judge]}", "cannot be its own fallback"),
        ("  judge: {type: replay, path: gone.jsonl}", "the recording cannot be read"),
        ("  judge: {type: offline, temprature: 1}", "unknown key 'temprature'"),
    ],
)
def test_mistakes_are_told_before_any_work(project: Project, models: str, told: str) -> None:
    """A mistake in the block stops `check` and `run` with its line and the nearest name."""
    config(project, models)
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert told in done.stderr
    assert "m.yaml:" in done.stderr


def test_a_batch_is_asked_by_one_run_and_answered_to_the_next(project: Project) -> None:
    """With `lane: batch` the first run asks and leaves, no item loses a try, and a later run scores them all."""
    with batches_standing_in() as server:
        batch = ", lane: batch, batch: {gather: 2.0}"  # all are asked within it, also on a busy machine
        config(project, f"  judge: {{type: openai_compatible, base_url: '{server.url}', model: small{batch}}}")
        first = project.report()["counts"]
        assert (first["scored"], first["postponed"], first["failures"]) == (0, 8, 0)
        later = project.report()["counts"]
        for _ in range(20):
            if later["scored"]:
                break
            later = project.report()["counts"]
        assert (later["scored"], later["postponed"]) == (8, 0)
        assert len(server.jobs) == 1


def test_what_a_lane_cannot_be_is_said(project: Project) -> None:
    """Only servers have a batch API, and its settings belong to its lane."""
    config(project, "  judge: {type: offline, lane: batch}")
    assert "'batch' is for type openai_compatible" in project.run("check", "m.yaml").stderr
    config(project, "  judge: {type: offline, batch: {wait: 5}}")
    assert "without lane: batch" in project.run("check", "m.yaml").stderr


def test_an_answer_that_was_of_no_use_is_asked_again(project: Project, server: StandIn) -> None:
    """A judge that answers with prose fails by its kind, twice asked, and the next run asks anew: nothing is kept."""
    judged = CONFIG.partition("metrics_config")[0].format(models=entry(server))
    metric = "{class: llm_judge, model: judge, scale: pass_fail, rubric: 'Is it polite?', fields: [actual_output]}"
    project.write("m.yaml", judged + f"metrics_config:\n  Polite: {metric}\n")
    for asked in (16, 32):
        done = project.run("m.yaml", "--json", "--quiet")
        assert json.loads(done.stdout)["failure_kinds"] == {"JudgeProse": 8}
        assert len(server.questions) == asked


def test_models_are_tried_before_a_run_when_that_is_asked_for(project: Project, server: StandIn) -> None:
    """`check --connect` asks each model for a word, and says what answers, what does not, and why."""
    config(project, entry(server))
    done = project.run("check", "m.yaml", "--connect")
    assert (done.returncode, "model 'judge': answers" in done.stdout) == (0, True)
    config(project, "  judge: {type: openai_compatible, base_url: 'http://127.0.0.1:9/v1', model: small, tries: 1}")
    done = project.run("check", "m.yaml", "--connect")
    assert done.returncode == 1
    assert "model 'judge': http://127.0.0.1:9/v1" in done.stderr
