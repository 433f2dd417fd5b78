"""What a batch and a run become as messages of an experiment, before anything is sent."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from shared.core.results import ItemResult
from shared.core.state.outbox import PackedBatch, SinkMessage
from shared.langfuse.sink.build_experiment import ExperimentBuilder, ExperimentPlan
from shared.langfuse.sink.build_scores import ScoreContext
from tests.langfuse.batches import batch, estimate, item, made, run

PLAN = ExperimentPlan("quality set", "nightly")
ONLY_EXACT = replace(PLAN, metrics=frozenset({"Exact"}))
ON_RUNTIME = replace(PLAN, score_on_runtime_traces=True)


def pack(plan: ExperimentPlan, *results: ItemResult) -> PackedBatch:
    return ExperimentBuilder(plan, ScoreContext()).pack(batch(results))


def pack_run(plan: ExperimentPlan, *labels: str) -> list[str]:
    """Names of the scores of a run with an estimate of each metric."""
    estimates = tuple(estimate(label) for label in labels)
    packed = ExperimentBuilder(plan, ScoreContext()).pack_run(run(estimates=estimates))
    return [message.body["score"]["name"] for message in packed.messages]


def scores(packed: PackedBatch) -> list[SinkMessage]:
    return [each for each in packed.messages if each.body["kind"] == "score"]


@pytest.mark.parametrize(
    ("plan", "names"),
    [
        (PLAN, ["Exact mean", "Exact pass rate", "Short mean", "Short pass rate"]),
        (ONLY_EXACT, ["Exact mean", "Exact pass rate"]),
        (replace(PLAN, metrics=frozenset({"Other"})), []),
    ],
)
def test_estimates_of_the_named_metrics_alone_are_scores_of_the_run(plan: ExperimentPlan, names: list[str]) -> None:
    """`metrics` names what goes into the experiment; without it all metrics do."""
    assert pack_run(plan, "Exact", "Short") == names


def test_scores_of_the_named_metrics_alone_are_in_the_experiment() -> None:
    """The filter holds for the items' scores and evaluations too."""
    result = ItemResult(item(1), (made("Exact"), made("Short")))
    packed = pack(replace(ONLY_EXACT, trace_metrics=True), result)
    assert [each.label for each in scores(packed)] == ["Exact"]
    assert [each["name"] for each in packed.messages[0].body["evaluations"]] == ["Exact"]
    assert packed.messages[0].body["linked"] and not packed.skipped


def test_a_figure_that_is_not_finite_is_not_sent() -> None:
    """Langfuse takes finite numbers only: a mean that is infinite must not hold up the pass rate."""
    odd = replace(estimate(), mean=math.inf)
    packed = ExperimentBuilder(PLAN, ScoreContext()).pack_run(run(estimates=(odd,)))
    assert [message.body["score"]["name"] for message in packed.messages] == ["Exact pass rate"]


def test_a_score_that_is_not_finite_is_skipped_with_its_value() -> None:
    """The reason says what was found, not only that the server would reject it."""
    packed = pack(PLAN, ItemResult(item(1), (made(value=math.inf),)))
    assert [(each.label, each.reason) for each in packed.skipped] == [
        ("Exact", "the score is not a finite number (inf)")
    ]
    assert not scores(packed)


def test_a_runtime_trace_is_the_subject_where_the_metric_names_one() -> None:
    """A metric that names no trace, or an empty one, leaves its score on the item's own trace."""
    for signals, trace in (({"trace_id": "r" * 32}, "r" * 32), ({"trace_id": ""}, f"{1:032x}"), ({}, f"{1:032x}")):
        packed = pack(ON_RUNTIME, ItemResult(item(1), (made(signals=signals),)))
        assert [each.body["score"]["traceId"] for each in scores(packed)] == [trace]


def test_a_score_is_left_to_another_sink_only_where_that_sends_the_same_one() -> None:
    """A score of the experiment alone has an id of its own, so no other sink sends it, even on the item's own trace."""
    elsewhere = replace(ON_RUNTIME, scores_elsewhere=True)
    assert not scores(pack(elsewhere, ItemResult(item(1), (made(),))))
    own = scores(pack(elsewhere, ItemResult(item(1), (made(signals={"trace_id": f"{1:032x}"}),))))
    linked = scores(pack(PLAN, ItemResult(item(1), (made(),))))
    assert len(own) == len(linked) == 1 and own[0].key != linked[0].key
