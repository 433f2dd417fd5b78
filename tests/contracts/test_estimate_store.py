"""The promises of `EstimateStore`, on SQLite and on Postgres."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from shared.core.results import RunReport
from shared.core.state.outbox import Outgoing, PackedBatch, SinkMessage
from shared.core.state.run_stores import RunState
from tests.contracts.adapters.outboxes import claim
from tests.contracts.adapters.stores import NOW, STREAM
from tests.contracts.test_outbox import RUN, database, finished, path, store

__all__ = ["database", "path", "store"]

SINK = "experiment"


def give(store: RunState, run: RunReport, value: int, name: str = "whole") -> None:
    message = SinkMessage("mean", "", {"value": value}, "Exact")
    store.estimates.publish_estimates(run, Outgoing(SINK, PackedBatch((message,))), [run.run_id], name)


def test_the_sample_of_an_item_is_unpublished_until_its_estimates_were_given(store: RunState) -> None:
    """Of a sample that no run has reported, or one that goes on, nothing is given; each sink gets it once."""
    store.reports.save_run(RUN)
    finished(store, ["a", "b"])
    assert store.estimates.samples_of(STREAM, ["a", "b", "unknown"]) == {"run-1"}
    later = replace(RUN, run_id="run-2")
    assert store.estimates.find_unpublished(RUN, SINK, ["run-1"]) == set()
    store.reports.report_samples(RUN, ["run-1"])
    assert store.estimates.find_unpublished(RUN, SINK, ["run-1", "other"]) == {"run-1"}
    assert store.estimates.find_unpublished(later, SINK, ["run-1"]) == set()
    store.reports.save_run(replace(RUN, status="done"))
    assert store.estimates.find_unpublished(later, SINK, ["run-1"]) == {"run-1"}
    give(store, RUN, 1)
    assert store.estimates.find_unpublished(later, SINK, ["run-1"]) == set()
    assert store.estimates.find_unpublished(later, "another", ["run-1"]) == {"run-1"}


def test_a_newer_estimate_takes_the_place_of_the_one_before(store: RunState) -> None:
    """Whether that waits, is being sent or has arrived: one message is left, and it is sent anew."""
    give(store, RUN, 1)
    give(store, replace(RUN, run_id="run-2", started_at=NOW - timedelta(days=1)), 2)
    found = store.outbox.claim(STREAM, SINK, "pending", claim())
    assert [(each.message.body, each.run_id) for each in found] == [({"value": 2}, "run-2")]
    give(store, replace(RUN, run_id="run-3"), 3)
    found = store.outbox.claim(STREAM, SINK, "pending", claim())
    assert [each.message.body for each in found] == [{"value": 3}]
    collection = store.estimates.read_collection(STREAM, SINK, "whole")
    assert collection == (frozenset({"run-1", "run-2", "run-3"}), NOW - timedelta(days=1))
    assert store.estimates.read_collection(STREAM, SINK, "none") == (frozenset(), None)
