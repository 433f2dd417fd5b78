"""An item's story in words: every way that an item can go."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.core.results import Decision, MetricFailure, MetricScore
from shared.core.state.item_history import DeliveryRecord, FailureRecord, ItemHistory, ScoreRecord, own_id
from shared.report.terminal.item_history_text import HistoryOptions, explain_outcome, history_text, missing_scores
from tests.report.memory import ref
from tests.report.samples import START, STREAM, score

DRAWN = ItemHistory(STREAM, Decision("i1", True, 0.25, "random"), "run-1", START, "drawn", 0)
UNDRAWN = DRAWN._replace(decision=replace(DRAWN.decision, drawn=False), state="undrawn")
OPTIONS = HistoryOptions(digests={"exact": "d" * 64, "judge": "d" * 64})
SCORED = ScoreRecord(score("exact", 1.0, "it is the same"), "run-1", START)


def failed(attempt: int, kind: str = "TimeoutError") -> FailureRecord:
    failure = MetricFailure(ref("judge"), "i1", kind, "judge took 30 s")
    return FailureRecord(failure, attempt, f"run-{attempt}", START + timedelta(hours=attempt))


FAILING = DRAWN._replace(state="failed", attempts=2, scores=(SCORED,), failures=(failed(1), failed(2, "RateLimited")))

SENT = DRAWN._replace(
    state="published", scores=(SCORED,), delivered=(DeliveryRecord("file", "", "verified", 1, "", START, START),)
)


@pytest.mark.parametrize(
    ("story", "words"),
    [
        (UNDRAWN, "Not scored: it was not sampled (inclusion probability 0.25)."),
        (UNDRAWN._replace(decision=Decision("i1", False, None, "most_recent")), "(not a random sample)."),
        (
            UNDRAWN._replace(decision=Decision("i1", False, 0.1, "random, thinned")),
            "to stay within a budget (inclusion probability 0.1",
        ),
        (DRAWN, "Waiting: sampled, not scored yet. The next run scores it."),
        (FAILING, "Failing: 2 of 5 tries are used; the next run asks again"),
        (FAILING._replace(attempts=5), "Failing: 5 of 5 tries are used up"),
        (FAILING._replace(state="published", attempts=5), "Given up after 5 tries and processed"),
        (SENT, "Scored and published: 1 score."),
        (SENT._replace(delivered=()), "Scored and processed (no message to a sink is stored): 1 score."),
        (DRAWN._replace(state="scored", scores=(SCORED,)), "Scored; publishing it is not finished: 1 score."),
        (DRAWN._replace(state="published", run_id=""), "Marked as processed by another tool"),
    ],
)  # fmt: skip
def test_how_far_an_item_came_is_one_sentence(story: ItemHistory, words: str) -> None:
    assert words in explain_outcome(story, OPTIONS)


def test_a_postponed_item_is_told_of_only_where_something_was_postponed() -> None:
    assert "postponed items whose answers come later" in explain_outcome(DRAWN, replace(OPTIONS, postponing=True))
    assert "answers that come later" not in explain_outcome(DRAWN, OPTIONS)


def test_every_label_without_a_score_has_its_reason() -> None:
    """The last failure, not applicable, not asked yet, or configured later than the item was scored."""
    assert missing_scores(UNDRAWN, OPTIONS) == []
    assert missing_scores(DRAWN, OPTIONS) == [("exact", "not asked yet"), ("judge", "not asked yet")]
    assert missing_scores(FAILING, OPTIONS) == [("judge", "RateLimited: judge took 30 s")]
    assert missing_scores(FAILING._replace(failures=()), OPTIONS) == [("judge", "comes with the next try")]
    done = DRAWN._replace(state="published", scores=(SCORED,))
    assert missing_scores(done._replace(not_applicable=("judge",)), OPTIONS) == [
        ("judge", "does not apply to this item")
    ]
    ((label, why),) = missing_scores(done, OPTIONS)
    assert label == "judge" and "was no metric of the monitor" in why and "policy: never" in why
    assert "policy" not in missing_scores(done, replace(OPTIONS, policy="metric"))[0].why


def test_the_story_tells_who_made_what_and_when() -> None:
    text = history_text(FAILING, OPTIONS)
    assert "seen       2026-03-09 06:00:00 UTC, run run-1" in text
    assert "exact: 1, passed (threshold 0.5)" in text and "it is the same" in text
    assert "try 1, 2026-03-09 07:00:00 UTC, judge: TimeoutError: judge took 30 s" in text
    assert "try 2" in text and "not yet" in text


def test_an_earlier_version_of_a_metric_is_said() -> None:
    done = DRAWN._replace(state="published", scores=(SCORED,), marked_at=START)
    assert "configured now" not in history_text(done, OPTIONS)
    assert "not by the metric as it is configured now" in history_text(
        done, replace(OPTIONS, digests={"exact": "e" * 64})
    )


def test_what_metrics_said_in_words_can_be_left_out() -> None:
    assert "it is the same" not in history_text(FAILING, replace(OPTIONS, show_text=False))


def test_hostile_text_is_made_visible() -> None:
    evil = "\x1b[31m\u202ered\n\nline"
    bad = MetricScore(ref(evil), 1.0, None, None, evil)
    made = FAILING._replace(scores=(ScoreRecord(bad, evil, START),), decision=Decision(evil, True, None, evil, evil))
    text = history_text(made, OPTIONS)
    assert "\x1b" not in text and "\u202e" not in text


@pytest.mark.parametrize(
    ("stored", "own"),
    [
        ("a@0123456789abcdef", "a"),
        ("a@b@0123456789abcdef", "a@b"),
        ("a", "a"),
        ("a@example.com", "a@example.com"),
        ("a@0123456789ABCDEF", "a@0123456789ABCDEF"),
        ("@0123456789abcdef", "@0123456789abcdef"),
    ],
)
def test_the_id_of_the_source_is_found_in_a_stored_one(stored: str, own: str) -> None:
    assert own_id(stored) == own
