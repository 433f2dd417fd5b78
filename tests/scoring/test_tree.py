import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.core.records import DatasetItem
from shared.core.results import ItemResult, MetricFailure, MetricRef, MetricScore
from shared.scoring.metric import bind
from shared.scoring.tree import Child, Node, Strategy, add_nodes, order_nodes
from shared.scoring.verdict_rows import ItemVerdicts
from tests.core.items import repeatably
from tests.scoring import sample_metrics as sample
from tests.scoring.scored import run

DIGESTS = {"a": "1", "b": "2", "c": "3"}


def node(label: str, *children: str | tuple[str, float], strategy: Strategy = "weighted_average") -> Node:
    """A node of the labels, weight 1 where none is given."""
    made = tuple(Child(each) if isinstance(each, str) else Child(*each) for each in children)
    return Node(label, made, strategy)


def judged(nodes: tuple[Node, ...], values: Mapping[str, float | None]) -> ItemResult:
    """What nodes make of these values; None stands for a metric that failed."""
    verdicts = ItemVerdicts(DatasetItem(id="i"))
    for label, value in values.items():
        ref = MetricRef(label, label, "1", DIGESTS.get(label, "0"))
        if value is None:
            verdicts.failures.append(MetricFailure(ref, "i", "Broken", ""))
        else:
            verdicts.scores.append(MetricScore(ref, value, None, None))
    add_nodes(order_nodes(nodes, dict.fromkeys(values, "0") | DIGESTS), verdicts)
    return verdicts.result()


def value_of(nodes: tuple[Node, ...], values: Mapping[str, float | None], label: str = "top") -> float:
    """The value of one node."""
    return next(each.value for each in judged(nodes, values).scores if each.label == label)


VALUES = st.dictionaries(st.sampled_from("abc"), st.floats(-1e6, 1e6), min_size=1)
WEIGHTS = st.fixed_dictionaries({each: st.floats(1e-6, 1e6) for each in "abc"})


@repeatably
@given(VALUES, WEIGHTS)
def test_an_average_lies_between_its_values(values: dict[str, float], weights: dict[str, float]) -> None:
    """Whatever applies, the weights of the rest are renormalised: the value stays between minimum and maximum."""
    averaged = value_of((node("top", *weights.items()),), values)
    least = value_of((node("top", *"abc", strategy="min"),), values)
    most = value_of((node("top", *"abc", strategy="max"),), values)
    assert least == min(values.values()) <= averaged
    assert averaged <= most == max(values.values())


@repeatably
@given(VALUES, WEIGHTS, st.sampled_from((0.25, 2.0, 1024.0)))
def test_only_the_proportions_of_weights_count(values: dict[str, float], weights: dict[str, float], by: float) -> None:
    """Weights of 1 and 2 are weights of 50 and 100."""
    scaled = {label: weight * by for label, weight in weights.items()}
    one, two = (value_of((node("top", *each.items()),), values) for each in (weights, scaled))
    assert one == pytest.approx(two)


def test_a_weighted_average() -> None:
    """By hand: what does not apply is left out, and the other weights count as before."""
    tree = (node("top", ("a", 3.0), ("b", 1.0), ("c", 100.0)),)
    assert value_of(tree, {"a": 1.0, "b": 0.0}) == 0.75
    row = judged(tree, {"a": 1.0, "b": 0.0}).scores[-1]
    assert (row.kind, row.explanation, row.passed) == ("aggregate", "weighted_average of 2 of 3: a, b, c", None)


def test_nodes_over_nodes() -> None:
    """Children come before their parents whatever the order in the config."""
    tree = (node("top", "low", "c"), node("low", "a", "b", strategy="max"))
    assert [each.label for each in order_nodes(tree, DIGESTS)] == ["low", "top"]
    assert value_of(tree, {"a": 0.0, "b": 1.0, "c": 0.0}) == 0.5


def test_thresholds_of_nodes() -> None:
    """A node passes at or above its own threshold, 0.0 included."""
    low = replace(node("top", "a"), threshold=0.0)
    assert [judged((low,), {"a": value}).scores[-1].passed for value in (-0.1, 0.0)] == [False, True]


def test_nothing_that_applies() -> None:
    """A node without a value does not apply, nor do those above it that have nothing else."""
    tree = (node("top", "low"), node("low", "a", "b"))
    result = judged(tree, {"c": 1.0})
    assert result.not_applicable == ("low", "top")
    assert len(result.scores) == 1


def test_a_failed_child_fails_the_node() -> None:
    """A value that leaves a failed metric out would look better than it is; the failure goes up the tree."""
    result = judged((node("top", "low", "c"), node("low", "a", "b")), {"a": None, "b": 1.0, "c": 1.0})
    assert [(each.metric.label, each.kind, each.message) for each in result.failures[1:]] == [
        ("low", "ChildFailed", "its children failed: a"),
        ("top", "ChildFailed", "its children failed: low"),
    ]
    assert [each.label for each in result.scores] == ["b", "c"]


def test_a_node_may_leave_failures_out() -> None:
    """With `exclude_failed` the others count as before, and with none left it does not apply."""
    tolerant = replace(node("top", "a", "b"), exclude_failed=True)
    assert value_of((tolerant,), {"a": None, "b": 1.0}) == 1.0
    assert judged((tolerant,), {"a": None, "b": None}).not_applicable == ("top",)


WRONG = [
    ((node("a", "b"),), "tree: 'a' is the label of a metric and of a node"),
    ((node("x", "a"), node("x", "b")), "tree: 'x' is the label of two nodes"),
    ((node("x", "aa"),), "tree: 'x' has an unknown child 'aa'. Known: 'a', 'b', 'c', 'x'. Did you mean 'a'?"),
    ((node("x", ("a", 0.0)),), "tree: weight of 'a': expected a number > 0, found 0.0"),
    ((node("x", ("a", math.nan)),), "tree: weight of 'a': expected a number > 0, found nan"),
    ((node("x", ("a", math.inf)),), "tree: weight of 'a': expected a number > 0, found inf"),
    ((node("x", "y"), node("y", "x"), node("z", "a")), "tree: these nodes contain each other: x, y"),
]


@pytest.mark.parametrize(("nodes", "why"), WRONG)
def test_trees_that_cannot_be(nodes: tuple[Node, ...], why: str) -> None:
    """A wrong tree is refused before any work."""
    with pytest.raises(ConfigError) as error:
        order_nodes(nodes, DIGESTS)
    assert str(error.value) == why


def test_a_digest_covers_all_below() -> None:
    """Another weight, strategy or metric deep down is another node; a label is not."""
    base = (node("top", "low", "c"), node("low", "a", "b"))
    deep = (base[0], node("low", "a", ("b", 2.0)))
    strict = (base[0], node("low", "a", "b", strategy="min"))
    tolerant = (base[0], replace(base[1], exclude_failed=True))
    renamed = (node("top", "other", "c"), node("other", "a", "b"))
    digests = [order_nodes(each, DIGESTS)[-1].digest for each in (base, deep, strict, tolerant, renamed)]
    assert len(set(digests[:4])) == 4
    assert digests[0] == digests[4]
    assert order_nodes(base, DIGESTS | {"b": "9"})[-1].digest != digests[0]


def test_a_tree_in_a_run() -> None:
    """The runner adds the nodes to each item, after its metrics."""
    metrics = [bind(sample.plain, "yes"), bind(sample.AtLeast, "long", {"n": 3})]
    nodes = order_nodes((node("top", ("yes", 3.0), "long"),), {each.label: each.ref.digest for each in metrics})
    result = run([DatasetItem(query="yes")], metrics, nodes)[0]
    assert [(each.label, each.value) for each in result.scores] == [("yes", 1.0), ("long", 0.0), ("top", 0.75)]
