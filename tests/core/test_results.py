from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.core import ports, results
from shared.core.counts import BudgetUse, ModelUsage, Spending
from shared.core.extraction import BrokenRecord, SkippedRecord, SourceNotice
from shared.core.results import MetricRef, MetricScore, RunConfig, RunCounts, RunReport, Score, Stream
from tests.core.items import repeatably


@repeatably
@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_failure_share_is_a_share(scores: int, failures: int) -> None:
    """`max_failure_share` compares with a number in [0, 1], also when nothing was tried."""
    share = RunCounts(scores=scores, failures=failures).failure_share
    assert 0 <= share <= 1
    assert (share == 0) == (failures == 0)


def test_a_runs_seconds() -> None:
    """A run that has not ended has no duration."""
    start = datetime(2026, 1, 1, tzinfo=UTC)
    made = [
        RunReport("r", "m", Stream("s", "m"), RunConfig("d"), "done", start, end)
        for end in (None, start + timedelta(minutes=1))
    ]
    assert [each.seconds for each in made] == [None, 60.0]


def test_records_say_what_they_are() -> None:
    """What people read in messages."""
    assert str(Stream("file:athena", "chat")) == "file:athena / chat"
    assert str(BrokenRecord("a.jsonl:3", "no object")) == "a.jsonl:3: no object"
    assert float(Score(0.5)) == 0.5
    assert MetricScore(MetricRef("Label", "name", "1", "d"), 1.0, None, None).label == "Label"


def test_names_that_users_code_has_go_on() -> None:
    """A sink and a source of a user's own, written before records were recomposed, need no edit."""
    spending = Spending(0.5, (ModelUsage("Right", "gpt"),), (BudgetUse("usd", "day", 2.0, 0.5),))
    config = RunConfig("d", "v2", "prod", {"dataset_name": "x"}, "name: m")
    run = RunReport("r", "m", Stream("s", "m"), config, "done", datetime(2026, 1, 1, tzinfo=UTC), spending=spending)
    assert (run.config_digest, run.version, run.environment, run.config_text) == ("d", "v2", "prod", "name: m")
    assert (run.publishing, run.cost, run.usage, run.budget) == (
        {"dataset_name": "x"}, 0.5, spending.usage, spending.budget,
    )  # fmt: skip
    assert (ports.Broken, ports.LeftOut, ports.Notice) == (BrokenRecord, SkippedRecord, SourceNotice)
    assert results.Counts is RunCounts
