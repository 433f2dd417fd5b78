"""Experiments as a user sees them in Langfuse: each item with its own scores, and the traces as they were before."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from random import Random

import pytest

from shared.core.clock import iso, parse_time, utc_now
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.read_queries import Row
from shared.monitoring.monitor import OnlineMonitor
from tests.langfuse.clients import collect, run_with_client
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import MovableClock
from tests.langfuse.source.sourcing import athena, rows_of
from tests.wiring.project import Project
from tests.wiring.run.test_langfuse_publishing import EXPERIMENT, FILE, LIVE, SHORT, project_of

KEYS = """\
  base_url: ${LANGFUSE_HOST}
  public_key: ${LANGFUSE_PUBLIC_KEY}
  secret_key: ${LANGFUSE_SECRET_KEY}
"""
LINKED = LIVE.replace("hours_back: 1", "hours_back: 48").replace("link_to_traces: false", "dataset_name: set")
ALONE = LINKED.replace("  push_to_langfuse: true\n", "")
OTHER = "name: other\n" + LINKED.split("\n", 1)[1].split("  experiment:")[0].replace("Grounding", "Unlike")
DATASET = f"""\
name: sets
source:
  type: langfuse_dataset
  dataset: cases
{KEYS}metrics_config:
  Exact: {{class: exact_match}}
publishing:
  experiment: {{dataset_name: cases, run_name: again}}
"""
WATCH = f"""\
name: watch
source:
  type: langfuse
  extractor: athena.chat
{KEYS}  hours_back: 48
metrics_config:
  Quick: {{class: latency}}
"""


@pytest.fixture
def server() -> Iterator[FakeLangfuse]:
    with run_fake_langfuse(clock=MovableClock(utc_now())) as found:
        yield found


def project_in(folder: Path, server: FakeLangfuse, text: str) -> Project:
    folder.mkdir()
    return project_of(folder, server, text)


def traffic(server: FakeLangfuse, count: int, minutes: int = 60) -> dict[str, list[Row]]:
    """Traces of staging, whose items name the generation below the root."""
    found = {}
    for number, record in enumerate(athena("chat", count)):
        at = server.clock() - timedelta(minutes=minutes + number)
        found[record["id"]] = rows_of(record | {"environment": "staging"}, at)
        for row in found[record["id"]]:
            row |= {"environment": "staging", "tags": ["tag"]}
        server.observations.add(*found[record["id"]])
    return found


def experiment_rows(server: FakeLangfuse) -> list[Row]:
    async def read(client: LangfuseClient) -> list[Row]:
        since = server.clock() - timedelta(days=400)
        return await collect(client.datasets.experiment_items(since, None, ("io", "scores")))

    return run_with_client(server, read)


@pytest.mark.parametrize("text", [LINKED, ALONE], ids=["with scores", "alone"])
def test_each_item_shows_its_own_scores_and_no_other_monitors(tmp_path: Path, server: FakeLangfuse, text: str) -> None:
    """The items' scores are about one observation; the server joins those of the item's root span, and of the trace."""
    traffic(server, 4)
    project_in(tmp_path / "other", server, OTHER).report()
    project_in(tmp_path / "own", server, text).report()
    rows = experiment_rows(server)
    assert len(rows) == 4
    assert {tuple(score["name"] for score in row["scores"]) for row in rows} == {("Grounding",)}
    assert {score["metadata"]["monitor"] for row in rows for score in row["scores"]} == {"live"}
    copies = Counter(row["name"] for row in server.scores.stored() if row.get("traceId"))
    assert copies == {"Unlike": 4, "Grounding": 8 if text is LINKED else 4}


def test_an_older_server_has_one_copy_of_each_score(tmp_path: Path) -> None:
    """Its dataset runs link an item to its own observation, where the sink `langfuse` has put the score already."""
    with run_fake_langfuse(Plan("3.150.0"), MovableClock(utc_now())) as old:
        found = traffic(old, 3)
        report = project_of(tmp_path, old, LINKED).report()
        assert report["counts"]["marked"] == 3
        made = [row for row in old.scores.stored() if row.get("traceId")]
        assert len(made) == 3
        assert {row["observationId"] for row in made} < {row["id"] for rows in found.values() for row in rows}


@pytest.mark.parametrize(
    ("more", "expected"),
    [("", "staging"), ("environment: prod\n", "staging"), ("  langfuse: {environment: chosen}\n", "chosen")],
)
def test_scores_have_the_environment_of_their_trace(
    tmp_path: Path, server: FakeLangfuse, more: str, expected: str
) -> None:
    """A monitor of production that reads traces of staging scores staging, unless the configuration names another."""
    traffic(server, 2)
    project_of(tmp_path, server, LINKED + more).report()
    assert {row["environment"] for row in server.scores.stored() if row.get("traceId")} == {expected}
    assert {row["environment"] for row in experiment_rows(server)} == {"staging"}


def dataset_of(server: FakeLangfuse, traces: dict[str, list[Row]]) -> None:
    """A dataset of items that were made of traces, 20 minutes after them."""

    async def prepare(client: LangfuseClient) -> None:
        from shared.langfuse.api.dataset_api import NewItem

        await client.datasets.create("cases")
        for number, (trace, rows) in enumerate(traces.items()):
            about = {"source_trace_id": trace, "source_observation_id": rows[number % 2]["id"]}
            await client.datasets.put_item(
                "cases", NewItem(f"i{number}", {"query": "q", "actual_output": "a"}, "a", **about)
            )

    run_with_client(server, prepare)


@pytest.mark.parametrize("minutes", [20, 60 * 24 * 45])
def test_a_link_lies_inside_its_trace_whatever_time_the_item_has(
    tmp_path: Path, server: FakeLangfuse, minutes: int
) -> None:
    """Items of a dataset carry the time at which they were created; their traces are older, some by weeks."""
    traces = traffic(server, 3, minutes)
    dataset_of(server, traces)
    report = project_of(tmp_path, server, DATASET).report()
    assert report["counts"]["marked"] == 3
    spans = [row for _, row in server.observations.after() if row["name"] == "experiment-item-run"]
    assert len(spans) == 3
    for span in spans:
        own = traces[span["traceId"]]
        assert min(row["startTime"] for row in own) <= span["startTime"] <= span["endTime"]
        assert span["endTime"] <= max(row["endTime"] for row in own)
        assert span["environment"] == "staging"
        assert span["parentObservationId"] in {row["id"] for row in own}
    assert [len(row["scores"]) for row in experiment_rows(server)] == [1, 1, 1]


def add_old_links(server: FakeLangfuse, traces: dict[str, list[Row]]) -> None:
    """Links as earlier versions sent them: at the time of the dataset's item, with evaluations below, some as roots."""
    from shared.langfuse.api.own_spans import evaluation_span_id

    for number, (trace, rows) in enumerate(traces.items()):
        at = iso(parse_time(rows[0]["startTime"]) + timedelta(minutes=20))
        link: Row = {
            "id": f"beef{number:012x}",
            "traceId": trace,
            "name": "experiment-item-run",
            "environment": "staging",
        }
        link |= {"startTime": at, "endTime": at, "parentObservationId": rows[0]["id"] if number % 2 else None}
        link["metadata"] = {"monitor": "m", "run_id": "r", "item_id": "i", "source_trace_id": trace}
        below = link | {"id": evaluation_span_id(str(link["id"]), "Exact"), "name": "Exact", "type": "EVALUATOR"}
        server.observations.add(link, below | {"parentObservationId": link["id"], "metadata": {}})


@pytest.mark.parametrize("more", ["", "\n  tags: [tag]", "\n  fields: [io]", "\n  items: sessions"])
def test_a_monitor_reads_the_same_whatever_experiments_have_added(tmp_path: Path, more: str) -> None:
    """Latency, observations and names of a trace are the application's alone; nothing that was added is an item."""
    found = []
    clock = MovableClock(utc_now())
    for links in (False, True):
        with run_fake_langfuse(clock=clock) as server:
            traces = traffic(server, 4)
            if links:
                add_old_links(server, traces)
                traced = LINKED.replace("enabled: true", "run_name: x") + "  trace_experiment: true\n"
                project_in(tmp_path / "experiment", server, traced).report()
            project = project_in(tmp_path / f"watch{links}", server, WATCH.replace("_back: 48", f"_back: 48{more}"))
            project.write("watching.py", WATCHING)
            report = project.run("m.yaml", "--json", "--quiet", "--set", "source.extractor=watching:whole")
            assert report.returncode == 0, report.stderr
            with sqlite3.connect(project.folder / "data" / "state" / "trueline.db") as connection:
                items = connection.execute("select item_id, payload from items order by item_id").fetchall()
            found.append((json.loads(report.stdout)["counts"]["read"], items))
    assert found[0] == found[1] and found[0][1]


ONCE = FILE + EXPERIMENT
EACH = FILE + "  experiment: {dataset_name: folder/set}\n"


def more_items(project: Project, first: int, count: int) -> None:
    at = iso(utc_now() - timedelta(hours=2))
    texts = {"query": "q", "expected_output": "a1", "source_timestamp": at}
    rows = [
        {**texts, "id": f"i{n}", "actual_output": f"a{n % 4}", "trace_id": f"{n:032x}"}
        for n in range(first, first + count)
    ]
    project.write("items.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


def estimates(server: FakeLangfuse) -> list[tuple[str, str, float, str]]:
    """Experiment, name, value and comment of each estimate that is shown."""
    rows = [row for row in server.scores.stored() if row.get("datasetRunId")]
    return sorted((row["datasetRunId"], row["name"], row["value"], row["comment"].split(",")[0]) for row in rows)


def test_an_experiment_of_a_fixed_name_has_one_estimate_of_the_whole_of_it(
    tmp_path: Path, server: FakeLangfuse
) -> None:
    """Later runs replace the estimate by that of all items of the experiment; the date of its score stays."""
    project, found = project_of(tmp_path, server, ONCE), estimates(server)
    for first, count in ((0, 12), (12, 4), (16, 24)):
        more_items(project, first, count)
        assert project.report()["counts"]["marked"] == count
        found = estimates(server)
        assert [name for _, name, *_ in found] == ["Exact mean", "Exact pass rate", "Short mean", "Short pass rate"]
        assert {comment for *_, comment in found} == {f"n = {first + count}"}
        assert {value for _, name, value, _ in found if name == "Exact mean"} == {0.25}
    assert len({row["timestamp"] for row in server.scores.stored() if row.get("datasetRunId")}) == 1
    project.report()
    project.report("--set", "publishing.experiment.run_name=other")
    assert estimates(server) == found


def test_estimates_of_several_experiments_of_one_monitor_stay_apart(tmp_path: Path, server: FakeLangfuse) -> None:
    """A name that is set later begins anew; going back to the first name goes on with it."""
    project = project_of(tmp_path, server, ONCE)
    more_items(project, 0, 4)
    project.report()
    more_items(project, 4, 8)
    project.report("--set", "publishing.experiment.run_name=other")
    more_items(project, 12, 12)
    project.report()
    assert sorted(comment for _, name, _, comment in estimates(server) if name == "Exact mean") == ["n = 16", "n = 8"]


@pytest.mark.parametrize("text", [ONCE, EACH], ids=["fixed name", "a name for each run"])
@pytest.mark.parametrize("by", ["next run", "next run with items", "publish"])
def test_estimates_of_a_run_without_publishing_come_when_its_items_are_published(
    tmp_path: Path, server: FakeLangfuse, text: str, by: str
) -> None:
    """The experiment that shows the items shows their estimates too, together with those of the run's own."""
    project = project_of(tmp_path, server, text)
    more_items(project, 0, 12)
    OnlineMonitor.from_yaml(project.folder / "m.yaml").run(publish=False)
    assert not estimates(server)
    if by == "next run with items":
        more_items(project, 12, 8)
    if by == "publish":
        assert project.run("publish", "m.yaml", "--pending").returncode == 0
    else:
        project.report()
    n = 20 if by == "next run with items" else 12
    found = estimates(server)
    assert [(name, comment) for _, name, _, comment in found if name.startswith("Exact")] == [
        ("Exact mean", f"n = {n}"),
        ("Exact pass rate", f"n = {n}"),
    ]
    assert {experiment for experiment, *_ in found} == {row["experimentId"] for row in experiment_rows(server)}
    posts = server.scores.posts
    project.report()
    assert project.run("publish", "m.yaml", "--pending").returncode == 0
    assert estimates(server) == found and server.scores.posts == posts


def test_short_runs_send_again_the_items_that_the_server_took_and_lost(tmp_path: Path, server: FakeLangfuse) -> None:
    """As for scores: under cron no run lives until a span counts as lost, yet each item is recorded, and once."""
    rng = Random(5)
    server.otlp.drops = lambda: rng.random() < 0.6
    project = project_of(tmp_path, server, ONCE.replace("  push_to_langfuse: true\n", ""))
    for _ in range(10):
        project.report(*SHORT)
    assert len(experiment_rows(server)) == len(server.otlp.spans) == 12
    assert project.report(*SHORT)["counts"]["marked"] == 0


def test_a_run_whose_experiment_is_overdue_says_so_and_fails(tmp_path: Path, server: FakeLangfuse) -> None:
    """Items of an experiment that never appear are no success."""
    server.otlp.drops = lambda: True
    project = project_of(tmp_path, server, ONCE)
    assert project.run("m.yaml", "--json", *SHORT).returncode == 0
    late = project.run("m.yaml", "--json", *SHORT, "--set", "publishing.overdue_hours=0.0001")
    found = json.loads(late.stdout)
    assert (late.returncode, found["status"]) == (1, "unpublished")
    assert "langfuse-experiment" in found["notes"][0] and "12 message(s)" in found["notes"][0]


WATCHING = '''\
import json
from shared.core.records import DatasetItem


def whole(record):
    """All that is read of a trace, as the query."""
    return DatasetItem(id=record["id"], query=json.dumps(record, sort_keys=True), latency=record["latency"])
'''
