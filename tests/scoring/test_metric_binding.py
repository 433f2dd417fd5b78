import functools
import inspect
from typing import Any

import pytest

from shared.core.errors import ConfigError
from shared.core.records import CONTENT_FIELDS, DatasetItem
from shared.scoring.metric import BoundMetric, MetricOptions, bind, metric, spec_of, user_parameters
from shared.scoring.metrics.text import exact_match
from tests.scoring import sample_metrics as sample

ITEM = DatasetItem(id="i", query="yes", actual_output="hello", metadata={"channel": "chat"})


def ask(target: Any, item: DatasetItem = ITEM, options: MetricOptions | None = None, **params: Any) -> Any:
    """What a metric answers when it is called with an item."""
    return bind(target, "Label", params, options).call(item)


def test_every_shape_of_a_metric() -> None:
    """Functions on fields or on the item, labelled or not, and classes, all take an item in the end."""
    assert ask(sample.letters) == 5
    assert ask(sample.letters, extra=2) == 7
    assert ask(sample.has_channel) == 1.0
    assert ask(sample.plain) == 1.0
    assert ask(sample.AtLeast) == 1.0
    assert ask(sample.AtLeast, n=6) == 0.0
    assert ask(sample.Count, letter="l") == 2.0


def test_a_labelled_function_stays_plain() -> None:
    """`@metric` only labels: nothing is wrapped, so the function is called and tested as it is written."""
    assert sample.letters("abc") == 3
    assert inspect.isfunction(sample.letters)


def test_coroutines_are_told_apart() -> None:
    """A coroutine function or a class with a coroutine as call is awaited; nothing else is."""
    made = {each: bind(each, "L").is_async for each in (sample.waits, sample.Waits, sample.plain, sample.AtLeast)}
    assert list(made.values()) == [True, True, False, False]
    assert bind(sample.waits, "L", {"seconds": 1}).is_async


def test_missing_inputs_do_not_apply() -> None:
    """A metric is not asked about what is not there; an argument with a default may be missing."""
    bare = DatasetItem(id="b", query="yes")
    assert ask(sample.letters, bare) is None
    assert ask(sample.has_channel, bare) is None
    assert ask(sample.Count, bare, letter="l") is None
    assert ask(sample.has_channel, DatasetItem(actual_output="x")) is None
    assert ask(sample.swapped, DatasetItem(actual_output="same", expected_output="same")) == 1.0
    assert ask(sample.swapped, DatasetItem(expected_output="x")) is None
    assert ask(sample.waits, bare) is None


def test_an_argument_with_a_default_gets_what_the_item_has() -> None:
    """None is what the item has, and is handed on: only a function knows what a missing option means to it."""
    seen: list[object] = []

    @metric(fields={"text": "actual_output", "gold": "expected_output"})
    def note(text: str, gold: str | None = "unset") -> float:
        seen.append(gold)
        return 0.0

    ask(note)
    ask(note, DatasetItem(actual_output="x", expected_output="y"))
    assert seen == [None, "y"]


def test_dotted_fields() -> None:
    """A field may be read from inside of a mapping."""

    @metric(fields={"channel": "metadata.channel"})
    def is_chat(channel: str) -> float:
        return float(channel == "chat")

    assert ask(is_chat) == 1.0
    assert bind(is_chat, "L").reads == ("metadata",)


def test_field_mapping_reads_from_elsewhere() -> None:
    """A metric is turned on another field by the config alone; the value is read as the field's own would be."""
    item = DatasetItem(actual_output="no", additional_output={"summary": "hello", "n": 12})
    options = MetricOptions(field_mapping={"actual_output": "additional_output.summary"})
    assert ask(sample.letters, item, options) == 5
    assert ask(sample.letters, item, MetricOptions(field_mapping={"actual_output": "additional_output.n"})) == 2
    assert ask(sample.letters, item, MetricOptions(field_mapping={"actual_output": "additional_output.none"})) is None
    assert bind(sample.letters, "L", {}, options).reads == ("additional_output",)
    assert bind(sample.letters, "L", {}, options).ref.digest != bind(sample.letters, "L").ref.digest


def test_a_mapping_of_no_field_is_a_config_error() -> None:
    """A typo in `field_mapping` stops before any work, with the nearest field."""
    with pytest.raises(
        ConfigError, match=r"metric 'L': field_mapping: an item has no field 'actual_ouput'.*'actual_output'\?"
    ):
        bind(sample.letters, "L", {}, MetricOptions(field_mapping={"actual_ouput": "query"}))


def test_digests_are_of_class_version_and_parameters() -> None:
    """Two labels of one class with other parameters are two metrics; the label and the threshold make no other."""
    short, long = (bind(sample.AtLeast, "L", {"n": n}) for n in (3, 50))
    assert short.ref.digest != long.ref.digest
    assert short.ref.digest == bind(sample.AtLeast, "Other", {"n": 3}, MetricOptions(threshold=0.1)).ref.digest
    assert bind(sample.letters, "L").ref.version == "3"
    assert bind(sample.letters, "L").ref.name == "letters"
    assert bind(sample.letters, "L").label == "L"


def test_what_a_metric_reads() -> None:
    """The fields that content digests cover: those named, or all of the content where a metric may read anything."""

    @metric(fields={"inputs": "inputs"})
    def on_inputs(inputs: dict[str, Any]) -> float:
        return float(len(inputs))

    @metric(fields={"errors": "has_errors"})
    def on_errors(errors: bool) -> float:
        return float(errors)

    assert bind(sample.swapped, "L").reads == ("expected_output", "actual_output")
    for target in (sample.plain, sample.has_channel, on_inputs, on_errors):
        assert bind(target, "L").reads == CONTENT_FIELDS


def test_thresholds() -> None:
    """The user's threshold wins over the metric's, 0.0 is a threshold, and inverse metrics pass strictly below."""

    def verdicts(bound: BoundMetric) -> list[bool | None]:
        return [bound.passes(value) for value in (-0.1, 0.0, 0.1)]

    assert verdicts(bind(sample.plain, "L")) == [None, None, None]
    assert verdicts(bind(sample.plain, "L", {}, MetricOptions(threshold=0.0))) == [False, True, True]
    assert verdicts(bind(sample.plain, "L", {}, MetricOptions(threshold=0.0, inverse=True))) == [True, False, False]
    assert bind(sample.letters, "L").threshold == 5.0
    assert bind(sample.letters, "L", {}, MetricOptions(threshold=0.0)).threshold == 0.0


def test_parameters_are_what_may_be_set() -> None:
    """Keyword-only arguments of a function, those of a class's constructor, and nothing of `**kwargs`."""
    assert list(user_parameters(exact_match)) == ["strip", "ignore_case", "normalize"]
    assert list(user_parameters(sample.AtLeast)) == ["n"]
    assert list(user_parameters(sample.Count)) == ["letter"]
    assert list(user_parameters(sample.plain)) == []


def test_a_timeout_that_cannot_be_kept_is_refused() -> None:
    """A synchronous metric cannot be stopped, so a config that says it will be is wrong."""
    limit = MetricOptions(timeout=1.0)
    with pytest.raises(
        ConfigError, match="metric 'L': a timeout cannot stop a synchronous metric; add 'blocking: true'"
    ):
        bind(sample.plain, "L", {}, limit)
    assert bind(sample.plain, "L", {}, MetricOptions(timeout=1.0, blocking=True)).blocking
    assert bind(sample.blocks, "L", {}, limit).timeout == 1.0
    assert not bind(sample.waits, "L", {}, MetricOptions(timeout=1.0, blocking=True)).blocking
    assert not bind(sample.blocks, "L", {}, MetricOptions(blocking=False)).blocking


def test_labels_that_cannot_be() -> None:
    """A wrong `@metric` is found when its file is read, not when the first item comes."""
    with pytest.raises(ConfigError, match=r"@metric: unknown fact 'treshold'.*Did you mean 'threshold'\?"):
        metric(treshold=0.5)
    with pytest.raises(
        ConfigError, match=r"@metric: an item has no field 'actual_ouput'.*Did you mean 'actual_output'\?"
    ):
        metric(fields={"text": "actual_ouput"})(lambda text: 1.0)
    with pytest.raises(ConfigError, match="@metric: an item has no field 'nothing'"):
        metric(needs=("nothing.more",))(lambda item: 1.0)
    wrong = metric(fields={"txt": "actual_output"})(lambda text: 1.0)
    with pytest.raises(ConfigError, match=r"has no argument 'txt'.*Did you mean 'text'\?"):
        bind(wrong, "L")


@pytest.mark.parametrize("target", [5, "text", None, functools.partial(sample.letters, extra=1), sample.AtLeast()])
def test_what_is_no_metric(target: Any) -> None:
    """A dotted path to something that is neither function nor class is a config error: it would have no name."""
    with pytest.raises(ConfigError, match="expected a metric"):
        bind(target, "L")


def test_a_subclass_is_its_own_metric() -> None:
    """The facts of a labelled class hold for its subclasses; digests tell them apart."""

    class Stricter(sample.Count):
        pass

    assert spec_of(Stricter).name == "Count"
    assert bind(Stricter, "L", {"letter": "l"}).ref.digest != bind(sample.Count, "L", {"letter": "l"}).ref.digest
