"""What `trueline check` prints: what a configuration would do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from shared.core.clock import utc_now
from shared.core.counts import by_level, find_warnings
from shared.core.digests import to_plain
from shared.core.state.outbox import Outlet
from shared.llm.budget.prices import FREE
from shared.llm.models.model_costs import ModelCosts
from shared.llm.models.model_handle import EmbedderHandle, ModelHandle
from shared.monitoring.plan import MonitorPlan
from shared.privacy.secret_patterns import PLACEHOLDER
from shared.privacy.secret_settings import is_secret_name
from shared.scoring.metric import BoundMetric
from shared.wiring.build.build_labels import LabelSources
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.config.labels_config import Anchors
from shared.wiring.config.schedule_config import Schedule, find_timezone


def check_text(built: BuiltMonitor, costs: Sequence[str] = ()) -> str:
    """Lines about what would be read, sampled, scored, paid, stored and published."""
    config, plan = built.config.values, built.plan
    lines = [
        f"{built.config.document.name} is valid.",
        f"monitor     {config.name}{f', version {config.version}' if config.version else ''}"
        f"{f', environment {plan.config.environment}' if plan.config.environment else ''}",
        f"source      {plan.stream.source_key}: {_describe_part(config.source)}",
        f"sampling    {_describe_part(config.sampling)}; {_describe_aggregates(plan)}",
        "metrics",
        *(f"  {_metric(metric)}" for metric in built.metrics),
        *(f"  {node.label:24} {node.strategy} of {', '.join(c.label for c in node.children)}" for node in built.nodes),
        *_model_lines(built.models, costs),
        f"state       {_describe_part(config.scored_store)}; stored in {built.state}; "
        f"scored again: {plan.again.policy}",
        f"publishing  {', '.join(map(_sink, built.sinks)) or 'state database only'}",
        *_label_lines(built.labels, config.anchors),
        f"report      {(config.report.path or 'none').replace('{name}', config.name)}",
        f"fails when  more than {plan.limits.max_failure_share:.0%} of the scores fail, "
        f"or more than {plan.limits.max_broken_share:.0%} of the records are broken",
    ]
    if config.schedule is not None:
        lines.append(f"schedule    {config.schedule}, by `trueline schedule`{_next_times(config.schedule)}")
    return "\n".join([*lines, *(f"{sign} {note}" for sign, note in by_level(built.notes))])


def _next_times(schedule: Schedule) -> str:
    """The next times of a cron line, where its time zone shows them."""
    if schedule.cron is None:
        return ""
    times, zone, moment, found = schedule.times(), find_timezone(schedule.timezone), utc_now(), []
    for _ in range(3):
        moment = times.next_after(moment)
        found.append(f"{moment.astimezone(zone):%a %Y-%m-%d %H:%M %z}")
    return f"; next {', '.join(found)}"


def _label_lines(labels: LabelSources, anchors: Anchors | None) -> list[str]:
    """Where human labels come from, if anywhere."""
    sources = ", ".join(source.name for source in labels.sources)
    lines = [f"labels      {sources}, chosen {labels.chosen.replace('_', ' ')}"] if sources else []
    if anchors is not None:
        every = f" and every {anchors.every}" if anchors.every else ""
        votes = f", {anchors.repeats} votes each" if anchors.repeats > 1 else ""
        lines.append(f"anchors     {anchors.path}: judged when a judge changes{every}{votes}")
    return lines


def _model_lines(money: ModelCosts, costs: Sequence[str]) -> list[str]:
    """The models that metrics ask, with their prices, the budget, and what it will cost."""
    if not money.models.asked_models:
        return []
    lines = ["models", *(f"  {alias:24} {_model(money, alias)}" for alias in money.models.asked_models)]
    if money.allowance is not None:
        lines.append(f"budget      {money.allowance}, then {money.allowance.on_over}")
    return [*lines, *costs]


def _model(money: ModelCosts, alias: str) -> str:
    name, price = money.models.names(alias)[0], money.price(alias)
    if price is None:
        return f"{name}: no price is known"
    if price == FREE:
        return f"{name}: costs nothing"
    cached = price.input if price.cached_input is None else price.cached_input
    words = f"${price.input:g} input, ${cached:g} cached input, ${price.output:g} output"
    return f"{name}: {words}, a million tokens"


def check_json(built: BuiltMonitor, costs: Sequence[str] = ()) -> dict[str, object]:
    """The same as plain values."""
    plan = built.plan
    return {
        "valid": True,
        "file": built.config.document.name,
        "monitor": plan.name,
        "source_key": plan.stream.source_key,
        "metrics": [
            {
                "label": metric.label,
                "class": metric.spec.name,
                "version": metric.ref.version,
                "digest": metric.ref.digest,
                "threshold": metric.threshold,
                "inverse": metric.inverse,
                "params": _params_json(metric),
            }
            for metric in built.metrics
        ],
        "models": {alias: _price_json(built.models, alias) for alias in built.models.models.asked_models},
        "budget": None if built.models.allowance is None else to_plain(built.models.allowance),
        "costs": list(costs),
        "nodes": [{"label": node.label, "strategy": node.strategy} for node in built.nodes],
        "aggregates": plan.aggregates,
        "state": str(built.state),
        "config_digest": plan.config.digest,
        "notes": built.notes,
        "warnings": find_warnings(built.notes),
    }


def _params_json(metric: BoundMetric) -> dict[str, object]:
    """A metric's parameters as plain values: a metric that is one of them by its class and parameters, a model by the
    name that it has in the file.
    """
    return {name: _param_json(value) for name, value in metric.params.items()}


def _param_json(value: object) -> object:
    if isinstance(value, BoundMetric):
        return {"class": value.spec.name, **_params_json(value)}
    return value.alias if isinstance(value, ModelHandle | EmbedderHandle) else to_plain(value)


def _price_json(money: ModelCosts, alias: str) -> dict[str, object]:
    price = money.price(alias)
    return {"name": money.models.names(alias)[0], "price": None if price is None else price.model_dump()}


def _describe_part(part: dict[str, object]) -> str:
    """A part's parameters on one line."""
    words = ", ".join(f"{key} {value}" for key, value in part.items() if not is_secret_name(key))
    return re.sub(r"://[^/@\s]*@", f"://{PLACEHOLDER}@", words)


def _sink(outlet: Outlet) -> str:
    return outlet.name if outlet.required else f"{outlet.name} (best effort)"


def _metric(metric: BoundMetric) -> str:
    sign = "below" if metric.inverse else "at least"
    passes = "no threshold" if metric.threshold is None else f"passes {sign} {metric.threshold:g}"
    kind = "coroutine" if metric.is_async else "separate process" if metric.blocking else "synchronous"
    return f"{metric.label:24} {metric.spec.name} v{metric.ref.version}: {passes}, {kind}"


def _describe_aggregates(plan: MonitorPlan) -> str:
    if plan.aggregates:
        return "means and pass rates with 95 % confidence intervals"
    if not plan.strategy.unbiased:
        return "an inspection queue: scores are listed without means or rates (the sample is not random)"
    return "no means or rates: with the CSV store alone only uniform sampling gives them"
