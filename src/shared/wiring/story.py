"""`trueline explain`: the whole story of one item, or why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from shared.core.ports import RunReader
from shared.core.registry import nearest
from shared.core.results import RunReport, Stream
from shared.core.stories import ItemStory
from shared.privacy.items import redact_failure, redact_item, redact_score
from shared.privacy.redaction import Redactor
from shared.report.aligned import wrapped
from shared.report.story import StoryOptions, left_out_text, missing, story_text, verdict
from shared.report.text import line
from shared.wiring.build import Built
from shared.wiring.pages import told
from shared.wiring.saying import print_json, print_text, stored_state
from shared.wiring.stores import Opened

_PAST = 100
"""Runs whose streams and broken records are searched."""


def print_story(built: Built, item_id: str, in_json: bool) -> int:
    """Print what is stored of an item in the monitor's stream and in those of its runs without memory; an item that
    was never seen is an answer too.

    Raises:
        UsageError: when there is no state yet.
    """
    with stored_state(built) as opened:
        runs = opened.reader.runs(built.plan.name, _PAST)
        streams = _streams(built, runs)
        stories = [story for stream in streams for story in opened.reader.story(stream, item_id)]
        passed = [] if stories else [each for stream in streams for each in opened.reader.passed_over(stream, item_id)]
        unknown = [] if stories or passed else _unknown(built, opened, runs, item_id)
    if built.redactor is not None:
        stories = [_redacted(story, built.redactor) for story in stories]
    if built.redactor is not None:
        passed = [each._replace(item_id=_name(built, item_id), detail="") for each in passed]
    told_by = [(story, _options(built, runs, story)) for story in stories]
    if in_json:
        print_json(
            {"item_id": _name(built, item_id), "stories": [_values(*each) for each in told_by]}
            | {"notes": unknown, "passed_over": [each._asdict() for each in passed]}
        )
    else:
        head = (
            [left_out_text(_name(built, item_id), passed)]
            if passed
            else []
            if stories
            else wrapped(f"{line(_name(built, item_id), 200)}: {' '.join(unknown)}")
        )
        print_text("\n".join((*(story_text(*each) for each in told_by), *head)) + ("" if stories or passed else "\n"))
    return 0


def _name(built: Built, item_id: str) -> str:
    return item_id if built.redactor is None else built.redactor.name(item_id)


def _streams(built: Built, runs: Sequence[RunReport]) -> list[Stream]:
    """The monitor's own stream first, then those of runs without memory, newest first."""
    own = [] if built.plan.one_off else [built.plan.stream]
    source = built.plan.stream.source_key
    return list(dict.fromkeys((*own, *(run.stream for run in runs if run.stream.source_key == source))))


def _unknown(built: Built, opened: Opened, runs: Sequence[RunReport], item_id: str) -> list[str]:
    """What may be said of an item without a decision."""
    stream = built.plan.stream
    if not built.plan.one_off and not opened.scored.unseen(stream, [item_id]):
        return ["Marked as scored, but its decision and its scores are not in the state any more."]
    words = ["Never seen by this monitor: no run has read it, or the state was lost since."]
    broken = [each for run in runs for each in told(built, run).broken if item_id in each]
    if broken:
        words.append(f"A broken record names it: {line(broken[0], 300)}.")
    close = nearest(item_id, _near(opened.reader, _streams(built, runs), item_id))
    if close:
        words.append(f"Did you mean {_name(built, close)!r}?")
    return words


def _near(reader: RunReader, streams: Sequence[Stream], item_id: str) -> list[str]:
    return list(dict.fromkeys(each for stream in streams[:5] for each in reader.ids_near(stream, item_id)))


def _options(built: Built, runs: Sequence[RunReport], story: ItemStory) -> StoryOptions:
    newest = next((run for run in runs if run.stream == story.stream), None)
    digests = {metric.label: metric.ref.digest for metric in built.metrics}
    return StoryOptions(
        digests=digests | {node.label: node.digest for node in built.nodes},
        max_attempts=built.plan.limits.max_attempts,
        policy=built.store.policy,
        postponing=newest is not None and newest.counts.postponed > 0,
        show_text=built.redactor is None or built.config.privacy.show_text,
    )


def _redacted(story: ItemStory, redactor: Redactor) -> ItemStory:
    """The story as it may be shown."""
    name = redactor.name(story.decision.item_id)
    return story._replace(
        decision=replace(story.decision, item_id=name, stratum=redactor.redact(story.decision.stratum)),
        item=None if story.item is None else redact_item(story.item, redactor),
        scores=tuple(each._replace(score=redact_score(each.score, redactor)) for each in story.scores),
        failures=tuple(each._replace(failure=redact_failure(each.failure, redactor)) for each in story.failures),
        delivered=tuple(each._replace(reason=redactor.redact(each.reason)) for each in story.delivered),
    )


def _values(story: ItemStory, options: StoryOptions) -> dict[str, object]:
    """The story as values; of the item what it is found by, not its texts."""
    item = story.item
    scores = story.scores
    if not options.show_text:
        scores = tuple(each._replace(score=each.score._replace(explanation="", signals=None)) for each in scores)
    about = None if item is None else {"trace_id": item.trace_id, "source_timestamp": item.source_timestamp}
    values = story._replace(scores=scores, item=None)._asdict()
    return {"verdict": verdict(story, options), **values, "item": about, "missing": missing(story, options)}
