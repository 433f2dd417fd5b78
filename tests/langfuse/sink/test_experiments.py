"""The sink `langfuse-experiment`: every item stands once in its run, with its scores, whatever fails on the way."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.core.results import ItemResult, Stream
from shared.core.state.outbox import Receipt
from shared.langfuse.api.langfuse_client import LangfuseClient
from shared.langfuse.api.read_queries import EXPERIMENTS, Row
from shared.langfuse.sink.build_experiment import ExperimentBuilder, ExperimentPlan, item_input
from shared.langfuse.sink.build_scores import ScoreContext
from shared.langfuse.sink.experiment_sink import LangfuseExperimentSink
from shared.langfuse.sink.experiment_spans import ExperimentRun
from shared.langfuse.sink.score_sink import LangfuseSink
from tests.langfuse.batches import batch, estimate, item, made, run, scored
from tests.langfuse.clients import client_of, collect, run_with_client
from tests.langfuse.driving import MemoryOutbox
from tests.langfuse.fake_server.faults import (
    BROKEN,
    BROKEN_AFTER,
    CUT,
    CUT_AFTER,
    SLOW,
    STUCK,
    TOO_BROAD,
    UNAVAILABLE,
    Fault,
    at_random,
    busy,
)
from tests.langfuse.fake_server.plan import PROJECT, Plan
from tests.langfuse.fake_server.server import FakeLangfuse, run_fake_langfuse
from tests.langfuse.fake_server.wire import START

NAME = "folder/quality set"
LINKED = ExperimentPlan(NAME, "nightly")
NEW = replace(LINKED, link_to_traces=False)
CONTEXT = ScoreContext(environment="prod", tags=("t",))

LINK = "POST /api/public/dataset-run-items"


def sink_of(server: FakeLangfuse, plan: ExperimentPlan = LINKED, **given: Any) -> LangfuseExperimentSink:
    return LangfuseExperimentSink(client_of(server, **given), ExperimentBuilder(plan, CONTEXT))


def outbox(server: FakeLangfuse, plan: ExperimentPlan = LINKED, size: int = 200) -> MemoryOutbox:
    return MemoryOutbox(lambda: sink_of(server, plan), server.clock, size)


def rows_of(server: FakeLangfuse, fields: tuple[str, ...] = ("io", "scores")) -> list[Row]:
    async def read(client: LangfuseClient) -> list[Row]:
        return await collect(client.datasets.experiment_items(START - timedelta(days=2), None, fields))

    return run_with_client(server, read)


def traffic(server: FakeLangfuse, count: int) -> None:
    """The traces that the items were made of: a root of each, with a call below it."""
    for number in range(count):
        at = (START - timedelta(minutes=60 + number)).isoformat()
        root: Row = {"id": f"{number:016x}", "traceId": f"{number:032x}", "startTime": at, "environment": "live"}
        server.observations.add(root, {**root, "id": f"a{number:015x}", "parentObservationId": root["id"]})


def done(box: MemoryOutbox) -> bool:
    return box.states() == {"verified": len(box.rows)}


def test_an_item_is_linked_to_its_own_trace_below_its_root() -> None:
    with run_fake_langfuse() as server:
        traffic(server, 3)
        box = outbox(server)
        box.store(sink_of(server).pack(scored(3)))
        box.drain()
        assert done(box) and len(box.rows) == 9
        rows = {row["traceId"]: row for row in rows_of(server)}
        assert sorted(rows) == [f"{n:032x}" for n in range(3)]
        row = rows[f"{1:032x}"]
        assert (row["input"], row["output"], row["expectedOutput"]) == ("question 1", "answer 1", "A")
        assert (row["experimentName"], row["environment"]) == ("nightly", "live")
        assert sorted((each["name"], each["value"]) for each in row["scores"]) == [("Exact", 0.1), ("Short", 0.11)]
        spans = {span["traceId"]: span for span in server.otlp.spans}
        assert spans[f"{1:032x}"]["parentSpanId"] == f"{1:016x}"
        assert server.otlp.versions == ["4"]
        dataset = server.datasets.datasets[NAME]
        assert row["experimentDatasetId"] == dataset["id"]
        assert row["experimentId"] == ExperimentRun(dataset["id"], PROJECT, "nightly").experiment_id
        kept = server.datasets.items[row["experimentItemId"]]
        assert (kept["input"], kept["expectedOutput"], kept["sourceTraceId"]) == ("question 1", "A", f"{1:032x}")


def test_the_roots_of_many_traces_are_found_with_few_questions() -> None:
    with run_fake_langfuse() as server:
        traffic(server, 150)
        box = outbox(server)
        box.store(sink_of(server).pack(scored(150, ("Exact",))))
        box.drain()
        assert done(box)
        parents = {span["traceId"]: span["parentSpanId"] for span in server.otlp.spans}
        assert parents == {f"{n:032x}": f"{n:016x}" for n in range(150)}
        assert server.asked["GET /api/public/v2/observations"] <= 4


def test_a_server_that_refuses_to_be_asked_for_several_roots_is_asked_for_each() -> None:
    refusal = Fault(400, b'{"message": "Invalid filter: stringOptions traceId any of"}')
    with run_fake_langfuse() as server:
        server.faults.chance = lambda request: refusal if "any of" in (request.one("filter") or "") else None
        traffic(server, 5)
        box = outbox(server)
        box.store(sink_of(server).pack(scored(5, ("Exact",))))
        box.drain()
        assert done(box)
        assert {span["parentSpanId"] for span in server.otlp.spans} == {f"{n:016x}" for n in range(5)}


@pytest.mark.parametrize("plan", [LINKED, NEW])
def test_sending_ends_before_anybody_else_may_send_the_same(plan: ExperimentPlan) -> None:
    """1,000 items at a hundred requests a minute take ten minutes; a claim is this process's alone for five.

    One request at a time: the clock adds up waits, and those of requests at the same time last no longer than one.
    """
    with run_fake_langfuse(Plan(limits={"datasets": 100, "general": 30})) as server:
        traffic(server, 1000)
        given = sink_of(server, plan).pack(scored(1000, ("Exact",)))
        items = [each for each in given.messages if each.body["kind"] == "item"]

        async def send() -> list[Receipt]:
            sink = sink_of(server, plan, max_concurrent=1)
            try:
                return await sink.send(items)
            finally:
                await sink.aclose()

        began = server.clock()
        receipts = asyncio.run(send())
        assert (server.clock() - began).total_seconds() < 300
        assert len(receipts) == 1000 and "sent" in {each.state for each in receipts}
        box = outbox(server, plan, size=1000)
        box.store(given)
        box.drain()
        assert done(box)
        spans = [span["spanId"] for span in server.otlp.spans]
        assert len(spans) == len(set(spans)) == 1000


def test_an_experiments_id_is_the_one_that_langfuse_gives_it() -> None:
    assert ExperimentRun("ds", "proj", "rün/1").experiment_id == "4deae329d53f4e20"


def test_without_links_each_item_has_a_trace_of_its_own() -> None:
    with run_fake_langfuse() as server:
        box = outbox(server, replace(NEW, trace_metrics=True))
        box.store(sink_of(server, replace(NEW, trace_metrics=True)).pack(scored(4)))
        box.drain()
        assert done(box)
        rows = rows_of(server)
        assert len(rows) == 4 and {row["environment"] for row in rows} == {EXPERIMENTS}
        assert not {row["traceId"] for row in rows} & {f"{n:032x}" for n in range(4)}
        for row in rows:
            assert {each["subject"]["id"] for each in row["scores"]} == {row["id"]}
            assert len(row["scores"]) == 2
        below = Counter(span["name"] for span in server.otlp.spans)
        assert below == {"experiment-item-run": 4, "Exact": 4, "Short": 4}


def test_an_item_without_trace_gets_one_and_one_without_input_is_skipped() -> None:
    with run_fake_langfuse() as server:
        bare = item(2, query=None)
        given = batch([ItemResult(each, (made(),)) for each in (item(1, trace_id=None), bare)])
        packed = sink_of(server).pack(given)
        assert [each.reason for each in packed.skipped] == ["the item has no input"]
        box = outbox(server)
        box.store(packed)
        box.drain()
        assert done(box) and [row["environment"] for row in rows_of(server)] == [EXPERIMENTS]


def test_messages_that_an_earlier_version_packed_are_delivered_as_they_are() -> None:
    """Its scores name an observation below the root, and say nothing of a span; sent in part, nothing comes twice."""
    with run_fake_langfuse() as server:
        traffic(server, 3)
        results = [ItemResult(item(n, observation_id=f"a{n:015x}"), (made(),)) for n in range(3)]
        packed = sink_of(server).pack(batch(results))
        old = LangfuseSink(client_of(server), CONTEXT).pack(batch(results))
        items = [each for each in packed.messages if each.body["kind"] == "item"]
        scores = [replace(each, body={**each.body, "kind": "score"}) for each in old.messages]
        box = outbox(server)
        box.store(replace(packed, messages=(*items, *scores)))
        box.drain()
        assert done(box) and len(server.otlp.spans) == len(server.scores.rows) == 3
        assert {row["observationId"] for row in server.scores.stored()} == {f"a{n:015x}" for n in range(3)}


def test_spans_that_an_earlier_version_sent_elsewhere_are_found_and_not_sent_again() -> None:
    """Its spans stand at the item's own time, which may be far from the trace's."""
    with run_fake_langfuse() as server:
        late = [ItemResult(item(n, source_timestamp=START - timedelta(minutes=5)), ()) for n in range(2)]
        packed = sink_of(server).pack(batch(late))
        box = outbox(server)
        box.store(packed)
        box.drain()
        assert done(box)
        again = outbox(server)
        again.store(packed)
        traffic(server, 2)
        again.drain()
        assert done(again) and len(server.otlp.spans) == 2


def test_scores_may_go_to_the_traces_that_the_metrics_left() -> None:
    with run_fake_langfuse() as server:
        plan = replace(NEW, score_on_runtime_traces=True)
        scores = (made("Judge", 0.5, signals={"trace_id": "f" * 32}), made("Exact", 1.0))
        box = outbox(server, plan)
        box.store(sink_of(server, plan).pack(batch([ItemResult(item(1), scores)])))
        box.drain()
        assert done(box)
        assert {row["name"]: row["traceId"] for row in server.scores.stored()} == {
            "Judge": "f" * 32,
            "Exact": f"{1:032x}",
        }


def test_scores_and_an_experiment_both_leave_one_score_of_each() -> None:
    with run_fake_langfuse() as server:
        given = scored(5)
        boxes = [
            MemoryOutbox(lambda: LangfuseSink(client_of(server), CONTEXT), server.clock),
            outbox(server),
            outbox(server, replace(LINKED, scores_elsewhere=True)),
        ]
        boxes[0].store(LangfuseSink(client_of(server), CONTEXT).pack(given))
        boxes[1].store(sink_of(server).pack(given))
        boxes[2].store(sink_of(server, replace(LINKED, scores_elsewhere=True)).pack(given))
        assert len(boxes[2].rows) == 5
        for box in boxes:
            box.drain()
            assert done(box)
        assert len(server.scores.rows) == 10
        assert [len(row["scores"]) for row in rows_of(server)] == [2] * 5


def test_only_the_metrics_that_were_named_are_in_the_experiment() -> None:
    with run_fake_langfuse() as server:
        packed = sink_of(server, replace(LINKED, metrics=frozenset({"Short"}))).pack(scored(2))
        assert [each.label for each in packed.messages] == ["", "Short", "", "Short"]


@pytest.mark.parametrize(("update", "kept"), [(False, "mended by hand"), (True, "question 1")])
def test_a_datasets_item_stays_as_it_is_unless_that_is_asked(update: bool, kept: str) -> None:
    with run_fake_langfuse() as server:
        plan = replace(LINKED, update_items=update)
        box = outbox(server, plan)
        box.store(sink_of(server, plan).pack(scored(2)))
        box.drain()
        mended = next(row for row in server.datasets.items.values() if row["input"] == "question 1")
        mended["input"] = "mended by hand"
        again = replace(plan, run_name="second")
        box = outbox(server, again)
        box.store(sink_of(server, again).pack(scored(2)))
        box.drain()
        assert done(box) and len(server.datasets.items) == 2
        assert server.datasets.items[mended["id"]]["input"] == kept
        assert Counter(row["experimentName"] for row in rows_of(server)) == {"nightly": 2, "second": 2}


def test_items_that_were_read_from_the_dataset_are_not_made_again() -> None:
    with run_fake_langfuse() as server:

        async def prepare(client: LangfuseClient) -> None:
            from shared.langfuse.api.dataset_api import NewItem

            await client.datasets.create(NAME)
            await client.datasets.put_item(NAME, NewItem("i1", "question 1", "A"))

        run_with_client(server, prepare)
        box = outbox(server, NEW)
        box.store(sink_of(server, NEW).pack(scored(2)))
        box.drain()
        assert done(box) and "i1" in {row["experimentItemId"] for row in rows_of(server)}
        assert len(server.datasets.items) == 2


def test_the_estimates_of_a_run_are_scores_of_the_experiment() -> None:
    with run_fake_langfuse() as server:
        box = outbox(server)
        sink = sink_of(server)
        box.store(sink.pack(scored(2)))
        box.store(sink.pack_run(run(estimates=(estimate(), replace(estimate("Queue"), inspection=True)))))
        box.drain()
        assert done(box)
        found = {row["name"]: row for row in server.scores.stored() if row.get("datasetRunId")}
        assert {name: row["value"] for name, row in found.items()} == {"Exact mean": 0.75, "Exact pass rate": 0.8}
        assert {row["datasetRunId"] for row in found.values()} == {row["experimentId"] for row in rows_of(server)}
        assert found["Exact mean"]["comment"] == "n = 40, 95 % confidence interval 0.6 to 0.9"


def test_an_older_server_gets_links_instead() -> None:
    with run_fake_langfuse(Plan("3.150.0")) as server:
        box = outbox(server)
        sink = sink_of(server)
        packed = sink.pack(scored(2))
        box.store(packed)
        box.store(sink.pack(batch([ItemResult(item(7, trace_id=None), (made(),))])))
        box.store(sink.pack_run(run(estimates=(estimate(),))))
        box.drain()
        assert done(box)
        links = list(server.datasets.run_items.values())
        assert {row["datasetRunName"] for row in links} == {"nightly"} and len(links) == 3
        assert {f"{0:032x}", f"{1:032x}"} < {row["traceId"] for row in links}
        assert len(server.otlp.spans) == 1  # the item without a trace got one
        whole = {row["datasetRunId"] for row in server.scores.stored() if row.get("datasetRunId")}
        assert whole == {row["datasetRunId"] for row in links}


def test_an_older_server_that_hangs_is_not_asked_again_for_each_link() -> None:
    with run_fake_langfuse(Plan("3.150.0")) as server:
        server.faults.add(LINK, *[STUCK] * 40)
        made = sink_of(server).pack(scored(40, ("Exact",))).messages

        async def send() -> list[Receipt]:
            sink = sink_of(server, timeout=0.2)
            try:
                return await sink.send([each for each in made if each.body["kind"] == "item"])
            finally:
                await sink.aclose()

        assert {each.state for each in asyncio.run(send())} == {"pending"}
        assert server.asked[LINK] < 16  # eight at once, and those that begin before all eight have failed


def test_items_that_share_a_trace_are_each_linked_on_an_older_server() -> None:
    """Observations of one trace, one batch after the other: the first one's link is not the second one's."""
    with run_fake_langfuse(Plan("3.150.0")) as server:
        box = outbox(server)
        for number in (1, 2):
            one = item(number, trace_id="a" * 32, observation_id=f"{number:016x}")
            box.store(sink_of(server).pack(batch([ItemResult(one, (made(),))])))
            box.drain()
        assert done(box)
        assert len({row["datasetItemId"] for row in server.datasets.run_items.values()}) == 2


def test_items_of_two_sources_share_no_place() -> None:
    """Two files that number their cases from 1, published to one dataset and one run."""
    with run_fake_langfuse() as server:
        box = outbox(server, NEW)
        for source in ("file:spring", "file:autumn"):
            rows = (ItemResult(item(1, query=source), (made(),)),)
            box.store(sink_of(server, NEW).pack(replace(batch(rows), stream=Stream(source, "quality"))))
        box.drain()
        assert done(box)
        assert {row["input"] for row in rows_of(server)} == {"file:spring", "file:autumn"}
        assert {row["input"] for row in server.datasets.items.values()} == {"file:spring", "file:autumn"}


@pytest.mark.parametrize("text", ["half an emoji \ud83d", "NUL \0", "<!channel> <script>"])
def test_whatever_a_text_holds_it_holds_up_nothing(text: str) -> None:
    odd = item(1, query=text, actual_output=text, expected_output=text, metadata={"tag": [text]})
    score = made(explanation=text, signals={text: text})
    with run_fake_langfuse() as server:
        box = outbox(server, replace(NEW, trace_metrics=True))
        plan = replace(NEW, trace_metrics=True)
        box.store(sink_of(server, plan).pack(batch([ItemResult(odd, (score,)), ItemResult(item(2), (made(),))])))
        box.drain()
        assert (done(box), len(box.rows), box.skipped) == (True, 4, [])


def test_a_trace_that_no_span_can_be_in_fails_alone() -> None:
    with run_fake_langfuse() as server:
        results = [ItemResult(item(n, trace_id=name), ()) for n, name in ((1, "short"), (2, f"{2:032x}"))]
        box = outbox(server)
        box.store(sink_of(server).pack(batch(results)))
        box.drain()
        assert box.states() == {"failed": 1, "verified": 1}
        assert "cannot be linked" in next(row.reason for row in box.rows.values() if row.state == "failed")


def test_what_an_item_was_given_is_read_from_the_dataset_as_it_was() -> None:
    from shared.core.records import DatasetItem
    from shared.langfuse.source.dataset_source import item_fields

    for each in (
        DatasetItem(query="q"),
        DatasetItem(query="q", retrieved_content=("a", "b"), additional_input={"lang": "de"}),
        DatasetItem(additional_input={"claim": 3}),
    ):
        again = DatasetItem.from_dict(item_fields({"id": each.id, "input": item_input(each)}))
        assert again == each


FAULTS = [BROKEN, BROKEN_AFTER, CUT, CUT_AFTER, UNAVAILABLE, TOO_BROAD, SLOW, busy(2), busy(400)]


def check(server: FakeLangfuse, items: int, scores: int) -> None:
    """Every item once in the run, every score once; a span that came twice is the very same."""
    if server.plan.events:
        rows = {(row["id"], row["traceId"], row["experimentItemId"]) for row in rows_of(server, ())}
        assert len(rows) == len({name for _, _, name in rows}) == items
    else:
        assert len({row["datasetItemId"] for row in server.datasets.run_items.values()}) == items
        assert len(server.datasets.run_items) == items
    assert len(server.datasets.items) == items
    assert len(server.scores.rows) == scores


@pytest.mark.parametrize("version", ["4.60.0", "4.16.0", "3.150.0"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{fault.status}{fault.done}{fault.cut}{fault.late}")
def test_each_fault_alone_loses_and_doubles_nothing(version: str, fault: Fault) -> None:
    with run_fake_langfuse(Plan(version)) as server:
        sink = sink_of(server, NEW)
        box = outbox(server, NEW)
        box.store(sink.pack(scored(4)))
        box.store(sink.pack_run(run(estimates=(estimate(),))))
        routes = ["otel/v1/traces", "dataset-items", "dataset-run-items", "v2/datasets", "scores"]
        for route in routes:
            server.faults.add(f"POST /api/public/{route}", fault)
            server.faults.add(f"GET /api/public/{route}", fault)
        server.faults.add("GET /api/public/experiment-items", fault)
        server.faults.add("GET /api/public/projects", fault)
        box.drain()
        assert done(box), [row.reason for row in box.rows.values()]
        check(server, 4, 10)


def test_spans_that_were_accepted_and_never_stored_are_sent_again() -> None:
    with run_fake_langfuse() as server:
        rng = Random(3)
        server.otlp.drops = lambda: rng.random() < 0.5
        box = outbox(server, NEW, size=2)
        box.store(sink_of(server, NEW).pack(scored(8)))
        box.drain(fresh=True)
        assert done(box)
        check(server, 8, 16)


def test_spans_that_are_slow_to_appear_are_not_sent_again() -> None:
    with run_fake_langfuse() as server:
        server.otlp.delay = 300.0
        box = outbox(server, NEW)
        box.store(sink_of(server, NEW).pack(scored(3)))
        box.drain()
        assert done(box) and len(server.otlp.spans) == 3


@settings(max_examples=12)
@given(
    version=st.sampled_from(["4.60.0", "4.16.0", "3.150.0"]),
    seed=st.integers(0, 10_000),
    share=st.floats(0.0, 0.4),
    size=st.integers(1, 40),
    fresh=st.booleans(),
    linked=st.booleans(),
)
def test_random_faults_lose_and_double_nothing(version: str, seed: int, share: float, size: int, **ways: bool) -> None:
    with run_fake_langfuse(Plan(version)) as server:
        plan = LINKED if ways["linked"] else NEW
        traffic(server, 6)
        server.faults.chance = at_random(seed, share, *FAULTS)
        sink = sink_of(server, plan)
        box = outbox(server, plan, size)
        box.store(sink.pack(scored(6)))
        box.store(sink.pack_run(run(estimates=(estimate(),))))
        box.drain(rounds=5000, fresh=ways["fresh"])
        server.faults.chance = lambda _: None
        assert done(box), Counter(row.reason for row in box.rows.values())
        check(server, 6, 14)
