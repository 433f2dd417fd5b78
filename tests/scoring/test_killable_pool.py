import os
import time

from shared.core.records import DatasetItem
from shared.core.results import ItemResult
from shared.scoring.metric import MetricOptions, bind
from shared.scoring.runner import RunnerOptions
from tests.scoring import sample_metrics as sample
from tests.scoring.scored import run


def by_text(results: list[ItemResult]) -> dict[str | None, object]:
    """The value, or the kind of failure, by what the answer said."""
    return {each.item.actual_output: each.scores[0].value if each.scores else each.failures[0].kind for each in results}


def test_a_blocking_metric_cannot_stop_the_run() -> None:
    """A metric that hangs is killed at its limit, one that kills its process is a failure, and all others go on."""
    texts = ["answer", "hang", "die", "raise", "time out", "other", None, "hang ", "answer "]
    items = [DatasetItem(id=str(place), actual_output=text) for place, text in enumerate(texts)]
    metrics = [bind(sample.blocks, "B", {}, MetricOptions(timeout=4.0)), bind(sample.Waits, "W")]
    begin = time.monotonic()
    results = run(items, metrics, options=RunnerOptions(max_concurrent=2))
    assert time.monotonic() - begin < 60
    found = by_text(
        [
            each._replace(scores=tuple(s for s in each.scores if s.label == "B"))
            for each in results
            if each.item.actual_output
        ]
    )
    assert len(results) == len(items)
    assert (found["answer"], found["other"], found["answer "]) == (1.0, 0.0, 0.0)
    assert (found["hang"], found["die"], found["raise"]) == ("Timeout", "ProcessDied", "KeyError")
    assert all("W" in {score.label for score in each.scores} for each in results)
    assert [each.not_applicable for each in results if each.item.actual_output is None] == [("B",)]


def test_a_blocking_metric_runs_elsewhere_with_its_parameters_and_mapping() -> None:
    """It is the same metric in the other process: parameters and `field_mapping` go with it."""
    item = DatasetItem(id="i", actual_output="no", additional_output={"summary": "hello"})
    options = MetricOptions(blocking=True, field_mapping={"actual_output": "additional_output.summary"})
    metrics = [bind(sample.letters, "L", {"extra": 2}, options), bind(sample.process_id, "P")]
    scores = {
        each.label: each.value for each in run([item], metrics, options=RunnerOptions(max_concurrent=1))[0].scores
    }
    assert scores["L"] == 7.0
    assert scores["P"] != os.getpid()


def test_without_a_limit_a_metrics_own_timeout_error_is_its_failure() -> None:
    """A blocking metric without any limit may raise a TimeoutError of its own; that ends neither worker nor run."""
    items = [DatasetItem(id="i", actual_output="time out")]
    result = run(items, [bind(sample.blocks, "B")], options=RunnerOptions(max_concurrent=1, timeout=None))[0]
    assert (result.failures[0].kind, result.failures[0].message) == ("TimeoutError", "the service took 5 s")
