"""Weighted trees of metrics: a node's value is made of its children's, by weighted average, minimum or maximum."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from shared.core.digests import metric_digest
from shared.core.errors import ConfigError
from shared.core.registry import hint
from shared.core.results import MetricFailure, MetricRef, MetricScore
from shared.scoring.verdict_rows import ItemVerdicts

CHILD_FAILED = "ChildFailed"
"""The kind of a node's failure."""

Strategy = Literal["weighted_average", "min", "max"]


@dataclass(frozen=True, slots=True)
class Child:
    """A metric or another node below a node, by label; the weight counts in weighted averages only (> 0)."""

    label: str
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One node. A child that does not apply is left out and the other weights count as before; a child that failed
    makes the node fail too, unless `exclude_failed` leaves it out likewise.
    """

    label: str
    children: tuple[Child, ...]
    strategy: Strategy = "weighted_average"
    threshold: float | None = None
    exclude_failed: bool = False
    digest: str = ""

    @property
    def ref(self) -> MetricRef:
        """The node as the maker of its scores."""
        return MetricRef(self.label, f"tree.{self.strategy}", "1", self.digest)


def is_node(ref: MetricRef) -> bool:
    """Whether a score was made by a node of a tree."""
    return ref.name.startswith("tree.")


def order_nodes(nodes: Sequence[Node], digests: Mapping[str, str]) -> tuple[Node, ...]:
    """The nodes, children before parents, each with a digest that covers all below it.

    `digests` are those of the metrics, by label.

    Raises:
        ConfigError: for a child that is neither metric nor node, a weight that is not above 0, a label that stands
            twice, or a cycle.
    """
    waiting = {node.label: node for node in nodes}
    twice = next((node.label for node in nodes if waiting[node.label] is not node), None)
    if twice is not None:
        raise ConfigError(f"tree: {twice!r} is the label of two nodes")
    known = dict(digests)
    for node in nodes:
        _check(node, known, waiting)
    done: list[Node] = []
    while waiting:
        ready = [node for node in waiting.values() if all(child.label in known for child in node.children)]
        if not ready:
            raise ConfigError(f"tree: these nodes contain each other: {', '.join(sorted(waiting))}")
        for node in ready:
            done.append(_with_digest(node, known))
            known[node.label] = done[-1].digest
            del waiting[node.label]
    return tuple(done)


def _check(node: Node, metrics: Mapping[str, str], nodes: Mapping[str, Node]) -> None:
    if node.label in metrics:
        raise ConfigError(f"tree: {node.label!r} is the label of a metric and of a node")
    for child in node.children:
        if child.label not in metrics and child.label not in nodes:
            known = hint(child.label, [*metrics, *nodes])
            raise ConfigError(f"tree: {node.label!r} has an unknown child {child.label!r}. {known}")
        if not 0 < child.weight < math.inf:
            raise ConfigError(f"tree: weight of {child.label!r}: expected a number > 0, found {child.weight!r}")


def _with_digest(node: Node, known: Mapping[str, str]) -> Node:
    below = [[known[child.label], child.weight] for child in node.children]
    params = {"children": below, "exclude_failed": node.exclude_failed}
    mine = metric_digest(f"tree.{node.strategy}", "1", params)
    return Node(node.label, node.children, node.strategy, node.threshold, node.exclude_failed, mine)


def add_nodes(nodes: Sequence[Node], verdicts: ItemVerdicts) -> None:
    """Add the value of every node, in the order of `order_nodes`, to what has been said of an item.

    A node above one metric that judges by chance does so too: its proxy is its value with that of the metric's.
    """
    by_chance = {score.label: score for score in verdicts.scores if score.chance is not None}
    values = {score.label: score.value for score in verdicts.scores}
    failed = {failure.metric.label for failure in verdicts.failures}
    for node in nodes:
        broken = [child.label for child in node.children if child.label in failed]
        if broken and not node.exclude_failed:
            failed.add(node.label)
            message = f"its children failed: {', '.join(broken)}"
            verdicts.failures.append(MetricFailure(node.ref, verdicts.item.id, CHILD_FAILED, message))
            continue
        pairs = [(values[child.label], child.weight) for child in node.children if child.label in values]
        if not pairs:
            verdicts.not_applicable.append(node.label)
            continue
        value = _combine(node.strategy, pairs)
        values[node.label] = value
        row = _make_row(node, value, len(pairs))
        child = next((by_chance[child.label] for child in node.children if child.label in by_chance), None)
        if child is not None:
            proxies = {**values, child.label: child.value if child.proxy is None else child.proxy}
            below = [(proxies[each.label], each.weight) for each in node.children if each.label in proxies]
            row = by_chance[node.label] = row._replace(proxy=_combine(node.strategy, below), chance=child.chance)
        verdicts.scores.append(row)


def _combine(strategy: Strategy, pairs: Sequence[tuple[float, float]]) -> float:
    if strategy == "min":
        return min(value for value, _ in pairs)
    if strategy == "max":
        return max(value for value, _ in pairs)
    mean = math.fsum(value * weight for value, weight in pairs) / math.fsum(weight for _, weight in pairs)
    return min(max(mean, _combine("min", pairs)), _combine("max", pairs))  # rounding must not lead out of the values


def _make_row(node: Node, value: float, used: int) -> MetricScore:
    passed = None if node.threshold is None else value >= node.threshold
    why = f"{node.strategy} of {used} of {len(node.children)}: {', '.join(child.label for child in node.children)}"
    return MetricScore(node.ref, value, passed, node.threshold, why, None, "aggregate")


Range = tuple[float | None, float | None]


def value_ranges(nodes: Sequence[Node], metrics: Mapping[str, Range]) -> dict[str, Range]:
    """The lowest and highest value of every metric and node, None where unbounded; nodes lie between their children."""
    found = dict(metrics)
    for node in nodes:
        below = [found.get(child.label, (None, None)) for child in node.children]
        lows, highs = [low for low, _ in below], [high for _, high in below]
        low = None if None in lows else min(each for each in lows if each is not None)
        high = None if None in highs else max(each for each in highs if each is not None)
        found[node.label] = (low, high)
    return found
