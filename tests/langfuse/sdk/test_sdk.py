"""Langfuse's own SDK takes the fake server for a server, and fails against it as it was seen to fail."""

from __future__ import annotations

import pytest

from tests.langfuse.fake_server.faults import BROKEN, UNAVAILABLE, Fault, busy
from tests.langfuse.fake_server.plan import Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.traffic import traces
from tests.langfuse.sdk.running import SDKS, sdk

pytestmark = pytest.mark.langfuse_sdk

SCORES = "POST /api/public/scores"
SPANS = "POST /api/public/otel/v1/traces"
FIELDS = "basic,time,io,metadata,model,usage,prompt,metrics,trace_context"


def plan(name: str) -> Plan:
    return Plan(SDKS[name])


def served(server: FakeLangfuse) -> bool:
    """Whether the SDK asked for nothing that the fake server does not have."""
    return all(server.find(each, each.path) for each in server.seen if not each.path.endswith("health"))


@pytest.mark.parametrize("name", SDKS)
def test_it_reads_every_row_in_every_field_group(name: str) -> None:
    with run_fake_langfuse(plan(name)) as server:
        ids = []
        for rows in traces(10):
            server.observations.add(*rows)
            ids += [row["id"] for row in rows]
        found = sdk(name, server.url, "observations", limit=7, fields=FIELDS).result
        assert sorted(found["ids"]) == sorted(ids)
        assert {"traceId", "startTime", "input", "tags", "sessionId"} <= found["first"].keys()


@pytest.mark.parametrize("name", SDKS)
def test_its_scores_arrive_and_are_read_back(name: str) -> None:
    with run_fake_langfuse(plan(name)) as server:
        sdk(name, server.url, "scores", count=40)
        assert len(server.scores.stored()) == 40
        found = sdk(name, server.url, "read_scores", name="exact").result
        assert len(found) == 40 and found["s7"] == [0.5, "trace"]
        assert served(server)


@pytest.mark.parametrize("name", SDKS)
def test_it_makes_and_labels_prompts(name: str) -> None:
    with run_fake_langfuse(plan(name)) as server:
        found = sdk(name, server.url, "prompts").result
        assert found["before"] == [1, "v1 y"] and found["after"] == [2, ["latest", "production"], {"m": 1}]
        assert found["chat"] == [{"role": "user", "content": "hi y"}] and found["missing"] == "NotFoundError"
        assert found["listed"] == [["chat", [1]], ["folder/p", [1, 2]]]


@pytest.mark.parametrize("name", SDKS)
def test_its_spans_become_observations(name: str) -> None:
    with run_fake_langfuse(plan(name)) as server:
        key = sdk(name, server.url, "spans").result["trace"]
        rows = {row["name"]: row for _, row in server.observations.after()}
        assert {row["traceId"] for row in rows.values()} == {key}
        assert rows["root"]["isRootObservation"] and not rows["llm"]["isRootObservation"]
        llm = rows["llm"]
        assert (llm["type"], llm["model"], llm["output"]) == ("GENERATION", "m", "answer")
        assert (llm["usageDetails"], llm["metadata"]) == ({"input": 3, "output": 2}, {"k": "v"})
        assert server.otlp.versions == (["4"] if name == "langfuse-5" else [""])  # without it rows come minutes late


@pytest.mark.parametrize("name", SDKS)
def test_its_experiments_are_read_back_from_spans(name: str) -> None:
    with run_fake_langfuse(plan(name)) as server:
        found = sdk(name, server.url, "experiment")
        assert found.result["results"] == 3 and found.result["experiments"] == [["run 1", 3, [3.0]]]
        assert found.result["items"] == [["i0", "q0", "A", "A"], ["i1", "q1", "A", "A"], ["i2", "q2", "B", "A"]]
        assert found.result["scores"] == [0.0, 1.0, 1.0]
        assert "WARNING" not in found.log and served(server)


def test_the_new_sdk_loses_every_score_on_an_older_server() -> None:
    with run_fake_langfuse(Plan("4.16.0")) as server:
        found = sdk("langfuse-5", server.url, "scores", count=30)
        assert not server.scores.stored()
        assert server.statuses == {400: 2}  # one try a batch
        assert found.result["seconds"] < 5 and found.log  # all it does is log


@pytest.mark.parametrize(
    ("fault", "tries"),
    [(BROKEN, 3), (UNAVAILABLE, 3), (busy(5), 3), (Fault(400, b'{"message": "no"}'), 1), (Fault(413, b"large"), 1)],
    ids=["500", "503", "429", "400", "413"],
)
def test_the_new_sdk_gives_a_score_up_after_so_many_tries(fault: Fault, tries: int) -> None:
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: fault if request.path.endswith("/scores") else None
        sdk("langfuse-5", server.url, "scores", count=1)
        assert server.asked[SCORES] == tries and not server.scores.stored()


def test_the_new_sdk_never_sends_a_207_again() -> None:
    with run_fake_langfuse() as server:
        server.scores.reject = {"s3"}
        found = sdk("langfuse-5", server.url, "scores", count=10)
        assert len(server.scores.stored()) == 9 and server.asked[SCORES] == 1
        assert "rejected" in found.log


@pytest.mark.parametrize(("fault", "tries"), [(BROKEN, 1), (Fault(400, b"{}"), 1)], ids=["500", "400"])
def test_the_new_sdk_drops_spans_at_the_first_error(fault: Fault, tries: int) -> None:
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: fault if request.path.endswith("/traces") else None
        sdk("langfuse-5", server.url, "spans")
        assert server.asked[SPANS] == tries and len(server.observations) == 0


def test_the_new_sdk_tries_spans_again_when_the_server_is_unavailable_and_then_drops_them() -> None:
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: UNAVAILABLE if request.path.endswith("/traces") else None
        sdk("langfuse-5", server.url, "spans")
        assert server.asked[SPANS] > 1 and len(server.observations) == 0
