"""`trueline explain`: the history of one item, or why there is none."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.core.registry import nearest_name
from shared.core.results import RunReport, Stream
from shared.core.state.item_history import ItemHistory, SkippedItem
from shared.monitoring.plan import MonitorPlan
from shared.privacy.redact_records import redact_failure, redact_item, redact_report, redact_score
from shared.privacy.redaction import TextCleaner
from shared.report.terminal.item_history_text import (
    HistoryOptions,
    explain_outcome,
    history_text,
    missing_scores,
    skipped_text,
)
from shared.report.text.formatting import line, wrap_text
from shared.wiring.build.state_location import OpenStores
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.stored_state import open_stored_state, print_json, print_text

_PAST = 100
"""Runs whose streams and broken records are searched."""

_LOST = "Processed before, but its decision and its scores are no longer in the state."


@dataclass(frozen=True, slots=True)
class _FoundItem:
    """What is stored of an item, by the id that it was found by; where nothing is, `words` say what else is known, and
    `known` whether it is one of the monitor's.
    """

    item_id: str
    stories: Sequence[ItemHistory]
    passed: Sequence[SkippedItem]
    words: Sequence[str] = ()
    known: bool = True


def main(options: Namespace) -> int:
    """Print what is stored of an item, given by its id or the only beginning of one, in the monitor's stream and in
    those of its runs without deduplication; 1 when it is not known.
    """
    built = open_monitor(options)
    with open_stored_state(built.state) as stores:
        runs = stores.reader.runs.newest_runs(built.plan.name, _PAST)
        search = _ItemSearch(built.plan, stores, runs, built.redactor)
        found = search.find(options.item)
    stories, passed = found.stories, found.passed
    stories = [_redact_story(story, built.redactor) for story in stories]
    passed = [_redact_skipped(each, built.redactor) for each in passed]
    histories = [(story, _history_options(built.plan, built.shows_texts, runs, story)) for story in stories]
    name = built.redactor.name(found.item_id)
    if options.json:
        print_json(
            {"item_id": name, "stories": [_story_json(*each) for each in histories]}
            | {"notes": found.words, "passed_over": [each._asdict() for each in passed]}
        )
    elif found.words:
        print_text("\n".join(wrap_text(f"{line(name, 200)}: {' '.join(found.words)}")) + "\n")
    else:
        print_text(
            "\n".join([*(history_text(*each) for each in histories), *([skipped_text(name, passed)] * bool(passed))])
        )
    return 0 if found.known else 1


@dataclass(frozen=True, slots=True)
class _ItemSearch:
    """Looks for an item in the streams of a monitor; `runs` are its newest."""

    plan: MonitorPlan
    stores: OpenStores
    runs: Sequence[RunReport]
    redactor: TextCleaner

    def find(self, item_id: str) -> _FoundItem:
        streams = self._streams()
        found = self._read_stories(streams, item_id)
        if found.stories or skipped_text(item_id, found.passed):
            return found
        if not self.plan.one_off and not self.stores.scored.unseen(self.plan.stream, [item_id]):
            return _FoundItem(item_id, (), (), [_LOST])
        reader = self.stores.reader.histories
        near = list(dict.fromkeys(each for stream in streams[:5] for each in reader.nearby_ids(stream, item_id)))
        begun = [each for each in near if each.startswith(item_id)]
        if len(begun) == 1:
            return self._read_stories(streams, begun[0])
        return _FoundItem(item_id, (), (), self._explain_unknown(item_id, near, begun), known=False)

    def _streams(self) -> list[Stream]:
        """The monitor's own stream first, then those of runs without deduplication, newest first."""
        own = [] if self.plan.one_off else [self.plan.stream]
        source = self.plan.stream.source_key
        return list(dict.fromkeys((*own, *(run.stream for run in self.runs if run.stream.source_key == source))))

    def _read_stories(self, streams: Sequence[Stream], item_id: str) -> _FoundItem:
        reader = self.stores.reader.histories
        stories = [story for stream in streams for story in reader.read_histories(stream, item_id)]
        passed = [] if stories else [each for stream in streams for each in reader.read_skipped(stream, item_id)]
        return _FoundItem(item_id, stories, passed)

    def _explain_unknown(self, item_id: str, near: Sequence[str], begun: Sequence[str]) -> list[str]:
        """Why an item may have no history."""
        name = self.redactor.name
        if begun:
            shown = ", ".join(repr(name(each)) for each in begun[:3])
            return [f"The beginning of several ids, such as {shown}; give more of it."]
        words = ["Never seen by this monitor: no run has read it, or the state has been lost since then."]
        broken = [each for run in self.runs for each in redact_report(run, self.redactor).broken if item_id in each]
        if broken:
            words.append(f"A broken record names it: {line(broken[0], 300)}.")
        close = nearest_name(item_id, near)
        if close:
            words.append(f"Did you mean {name(close)!r}?")
        return words


def _history_options(
    plan: MonitorPlan, show_text: bool, runs: Sequence[RunReport], story: ItemHistory
) -> HistoryOptions:
    newest = next((run for run in runs if run.stream == story.stream), None)
    digests = {metric.label: metric.ref.digest for metric in plan.runner.metrics}
    return HistoryOptions(
        digests=digests | {node.label: node.digest for node in plan.runner.nodes},
        max_attempts=plan.limits.max_attempts,
        policy=plan.again.policy,
        postponing=newest is not None and newest.counts.postponed > 0,
        show_text=show_text,
    )


def _redact_skipped(skipped: SkippedItem, redactor: TextCleaner) -> SkippedItem:
    """A record that was skipped; the reason may quote it, so that it is left out where personal data is hidden."""
    detail = "" if redactor.hides_people else redactor.redact_message(skipped.detail)
    return skipped._replace(item_id=redactor.name(skipped.item_id), detail=detail)


def _redact_story(story: ItemHistory, redactor: TextCleaner) -> ItemHistory:
    """The history as it may be shown."""
    name = redactor.name(story.decision.item_id)
    return story._replace(
        decision=replace(story.decision, item_id=name, stratum=redactor.redact(story.decision.stratum)),
        item=None if story.item is None else redact_item(story.item, redactor),
        scores=tuple(each._replace(score=redact_score(each.score, redactor)) for each in story.scores),
        failures=tuple(each._replace(failure=redact_failure(each.failure, redactor)) for each in story.failures),
        delivered=tuple(each._replace(reason=redactor.redact_message(each.reason)) for each in story.delivered),
    )


def _story_json(story: ItemHistory, options: HistoryOptions) -> dict[str, object]:
    """The history as values; of the item its trace and time, not its texts."""
    item = story.item
    scores = story.scores
    if not options.show_text:
        scores = tuple(each._replace(score=each.score._replace(explanation="", signals=None)) for each in scores)
    about = None if item is None else {"trace_id": item.trace_id, "source_timestamp": item.source_timestamp}
    values = story._replace(scores=scores, item=None)._asdict()
    return {
        "verdict": explain_outcome(story, options),
        **values,
        "item": about,
        "missing": missing_scores(story, options),
    }
