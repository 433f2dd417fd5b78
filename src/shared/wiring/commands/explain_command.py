"""`trueline explain`: the history of one item, or why there is none."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace

from shared.core.registry import nearest_name
from shared.core.results import RunReport, Stream
from shared.core.state.item_history import ItemHistory, SkippedItem
from shared.core.state.run_stores import ItemHistoryReader
from shared.privacy.redact_records import redact_failure, redact_item, redact_score
from shared.privacy.redaction import TextCleaner
from shared.report.terminal.item_history_text import (
    HistoryOptions,
    explain_outcome,
    history_text,
    missing_scores,
    skipped_text,
)
from shared.report.text.formatting import line, wrap_text
from shared.wiring.build.build_monitor import BuiltMonitor
from shared.wiring.build.build_stores import OpenStores
from shared.wiring.commands.open_monitor import open_monitor
from shared.wiring.commands.report_page import redact_for_display
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
        found = _find_item(built, stores, runs, options.item)
    stories, passed = found.stories, found.passed
    stories = [_redact_story(story, built.redactor) for story in stories]
    passed = [_redact_skipped(each, built.redactor) for each in passed]
    histories = [(story, _story_options(built, runs, story)) for story in stories]
    name = _item_name(built, found.item_id)
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


def _find_item(built: BuiltMonitor, stores: OpenStores, runs: Sequence[RunReport], item_id: str) -> _FoundItem:
    streams = _monitor_streams(built, runs)
    found = _read_stories(stores.reader.histories, streams, item_id)
    if found.stories or skipped_text(item_id, found.passed):  # that it once came twice does not say what became of it
        return found
    if not built.plan.one_off and not stores.scored.unseen(built.plan.stream, [item_id]):
        return _FoundItem(item_id, (), (), [_LOST])
    near = _similar_ids(stores.reader.histories, streams, item_id)
    begun = [each for each in near if each.startswith(item_id)]
    if len(begun) == 1:
        return _read_stories(stores.reader.histories, streams, begun[0])
    return _FoundItem(item_id, (), (), _explain_unknown(built, runs, item_id, near), known=False)


def _read_stories(reader: ItemHistoryReader, streams: Sequence[Stream], item_id: str) -> _FoundItem:
    stories = [story for stream in streams for story in reader.read_histories(stream, item_id)]
    passed = [] if stories else [each for stream in streams for each in reader.read_skipped(stream, item_id)]
    return _FoundItem(item_id, stories, passed)


def _item_name(built: BuiltMonitor, item_id: str) -> str:
    return built.redactor.name(item_id)


def _monitor_streams(built: BuiltMonitor, runs: Sequence[RunReport]) -> list[Stream]:
    """The monitor's own stream first, then those of runs without deduplication, newest first."""
    own = [] if built.plan.one_off else [built.plan.stream]
    source = built.plan.stream.source_key
    return list(dict.fromkeys((*own, *(run.stream for run in runs if run.stream.source_key == source))))


def _explain_unknown(built: BuiltMonitor, runs: Sequence[RunReport], item_id: str, near: Sequence[str]) -> list[str]:
    """Why an item may have no history."""
    begun = [_item_name(built, each) for each in near if each.startswith(item_id)]
    if begun:
        return [f"The beginning of several ids, such as {', '.join(map(repr, begun[:3]))}; give more of it."]
    words = ["Never seen by this monitor: no run has read it, or the state was lost since."]
    broken = [each for run in runs for each in redact_for_display(run, built.redactor).broken if item_id in each]
    if broken:
        words.append(f"A broken record names it: {line(broken[0], 300)}.")
    close = nearest_name(item_id, near)
    if close:
        words.append(f"Did you mean {_item_name(built, close)!r}?")
    return words


def _similar_ids(reader: ItemHistoryReader, streams: Sequence[Stream], item_id: str) -> list[str]:
    return list(dict.fromkeys(each for stream in streams[:5] for each in reader.nearby_ids(stream, item_id)))


def _story_options(built: BuiltMonitor, runs: Sequence[RunReport], story: ItemHistory) -> HistoryOptions:
    newest = next((run for run in runs if run.stream == story.stream), None)
    digests = {metric.label: metric.ref.digest for metric in built.metrics}
    return HistoryOptions(
        digests=digests | {node.label: node.digest for node in built.nodes},
        max_attempts=built.plan.limits.max_attempts,
        policy=built.plan.again.policy,
        postponing=newest is not None and newest.counts.postponed > 0,
        show_text=built.shows_texts,
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
