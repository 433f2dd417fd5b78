"""Judges against people: which numbers are shown, which method is vouched for, and what is kept out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from random import Random

import pytest

from shared.core.human_labels import AnchorPass, AnchorVerdict, HumanLabel
from shared.core.records import DatasetItem
from shared.core.results import Decision, MetricRef, MetricScore, RunConfig, RunReport, StoredResult
from shared.privacy.redaction import Redactor
from shared.report.judges.collect_judges import collect_judges
from shared.report.judges.judge_text import judge_line, judges_text
from shared.report.page.html import render
from shared.report.records.judge_records import JudgeOptions, Judges, JudgeView, LabelsNeeded
from shared.report.terminal.run_summary import Beside, summary
from shared.scoring.statistics.label_votes import settle_labels
from tests.report.memory import Row, state_reader
from tests.report.samples import HOSTILE, START, STREAM, data_of, ordinary, run_of

JUDGE = MetricRef("Judge", "llm_judge", "3", "d" * 64)


def stored(
    number: int, passed: bool | None, probability: float | None = 0.25, judge: MetricRef = JUDGE, hours: int = 0
) -> StoredResult:
    item = DatasetItem(id=f"i{number}", query=f"write to person{number}@example.com", actual_output=f"answer {number}")
    value = 0.5 if passed is None else 0.9 if passed else 0.1
    score = MetricScore(judge, value, passed, None if passed is None else 0.5, f"because {number}")
    decision = Decision(item.id, True, probability, "random")
    return StoredResult(item, decision, (score,), (), START + timedelta(hours=hours))


def traffic(count: int, seed: int = 1) -> tuple[list[StoredResult], dict[str, bool]]:
    """Items of which 80 % are good, judged by a judge that passes 97 % of these and half of the others."""
    rng = Random(seed)
    truth = {f"i{n}": rng.random() < 0.8 for n in range(count)}
    return [stored(n, rng.random() < (0.97 if truth[f"i{n}"] else 0.5)) for n in range(count)], truth


def views(
    results: Iterable[StoredResult], truth: Mapping[str, bool], options: JudgeOptions | None = None,
    passes: Iterable[AnchorPass] = (),
) -> tuple[JudgeView, ...]:  # fmt: skip
    people = settle_labels(HumanLabel(item, "Judge", float(good)) for item, good in truth.items())
    reader = state_reader([], [Row("run", each) for each in results])
    return collect_judges(reader, STREAM, people, options or JudgeOptions(), list(passes))


def only(results: Iterable[StoredResult], truth: Mapping[str, bool], options: JudgeOptions | None = None) -> JudgeView:
    (view,) = views(results, truth, options)
    return view


def some(truth: Mapping[str, bool], count: int) -> dict[str, bool]:
    return dict(list(truth.items())[:count])


def test_random_labels_are_corrected_by_ppi() -> None:
    """The judge says 88 %, the truth is 80 %: PPI++ is vouched for, its interval holds the truth, the judge's not."""
    results, truth = traffic(2000)
    view = only(results, some(truth, 150))
    assert (view.judged, view.labelled, view.rate.trusted) == (2000, 150, "PPI++")
    assert view.rate.passes is not None and view.rate.passes.low > 0.8
    assert view.rate.best is not None and view.rate.best.low < 0.8 < view.rate.best.high
    assert view.agreement is not None and view.agreement.n == 150
    assert [need.half_width for need in view.rate.needs] == [0.05, 0.02]
    need = view.rate.needs[0].labels
    assert need is not None and 100 < need < 200


def test_a_biased_choice_of_labels_is_seen() -> None:
    """Labels on what the judge failed mostly: no rate is vouched for until it is said how they were chosen."""
    results, truth = traffic(2000)
    failed = [each.item.id for each in results if each.scores[0].passed is False][:120]
    chosen = {item: truth[item] for item in [*failed, *(f"i{n}" for n in range(60))]}
    view = only(results, chosen)
    assert view.rate.trusted is None and view.rate.best is None
    assert "no random part" in view.rate.why and "by_verdict" in view.rate.why
    rate = only(results, chosen, JudgeOptions(chosen="by_verdict")).rate
    assert rate.trusted == "by verdict" and rate.best is not None and rate.best.low < 0.8 < rate.best.high


def test_labels_from_elsewhere_take_rogan_gladen() -> None:
    """A test set with a mix of its own: sensitivity and specificity carry over, the share of good items does not."""
    results, truth = traffic(3000)
    bad = [item for item, good in truth.items() if not good][:150]
    good = [item for item, good in truth.items() if good][:150]
    rate = only(results, {item: truth[item] for item in [*bad, *good]}, JudgeOptions(chosen="elsewhere")).rate
    assert rate.trusted == "Rogan-Gladen" and rate.best is not None and rate.best.low < 0.8 < rate.best.high


def test_a_handful_of_labels_vouches_for_nothing() -> None:
    """Three labels: agreement is told with its width, no rate is."""
    results, truth = traffic(500)
    view = only(results, some(truth, 3))
    assert view.rate.trusted is None and "3 labels cannot carry a correction" in view.rate.why
    assert view.agreement is not None and view.agreement.agreement.high - view.agreement.agreement.low > 0.5


def test_labels_on_items_that_were_never_judged_are_counted() -> None:
    """They are left out and said."""
    results, _ = traffic(50)
    view = only(results, {"elsewhere": True, "lost": False})
    assert (view.labelled, view.labels.unscored, view.rate.trusted) == (0, 2, None)
    assert view.rate.why == "no judged item has a label."
    assert "2 labels on items that this version has not judged" in judges_text((view,))


def test_a_census_of_labels_needs_no_judge() -> None:
    results, truth = traffic(60)
    assert only(results, truth).rate.trusted == "people alone"


def test_a_constant_judge_leaves_the_labels_alone() -> None:
    """It has no kappa to speak of, and no correction by its errors."""
    results = [stored(n, True) for n in range(400)]
    view = only(results, {f"i{n}": n % 4 > 0 for n in range(100)})
    assert view.rate.trusted == "people alone"
    assert {each.method: each.why for each in view.rate.corrections}["Rogan-Gladen"].endswith("no better than chance")


def test_versions_of_a_judge_are_never_mixed() -> None:
    """The configured version counts, the other is listed; a changed threshold is another version too."""
    results, truth = traffic(100)
    old = replace(JUDGE, version="2", digest="e" * 64)
    mixed = [*results, *(stored(n, True, judge=old, hours=9) for n in range(1000, 1040))]
    view = only(mixed, truth, JudgeOptions(versions={"Judge": ("d" * 64, 0.5)}))
    assert (view.judged, view.current) == (100, True)
    assert [(each.maker, each.n) for each in view.others] == [("llm_judge 2", 40)]
    assert only(mixed, truth).judged == 40  # not told which: the one that judged last
    other = only(results, truth, JudgeOptions(versions={"Judge": ("d" * 64, 0.7)}))
    assert not other.current and other.judged == 100


def test_an_inspection_queue_gives_agreement_and_no_rate() -> None:
    """Items that were not a random sample say nothing of the traffic."""
    results = [stored(n, n % 3 > 0, None) for n in range(60)]
    view = only(results, {f"i{n}": n % 2 > 0 for n in range(60)})
    rate = view.rate
    assert view.agreement is not None and rate.passes is None and rate.trusted is None and rate.needs == ()
    assert "not a random sample" in rate.why


def test_a_metric_without_a_threshold_is_told_to_have_one() -> None:
    view = only([stored(n, None) for n in range(30)], {f"i{n}": True for n in range(30)})
    assert "set `threshold`" in view.rate.why


def test_the_newest_score_of_a_labelled_item_counts() -> None:
    """An item that was scored again under another stored id is one labelled item, by its newest verdict."""
    again = [stored(1, False, hours=1), stored(1, True, hours=2), *(stored(n, True) for n in range(2, 40))]
    view = only(again, {"i1": True, "i2": True})
    assert view.labelled == 2 and view.agreement is not None and view.agreement.agreement.value == 1.0


@pytest.mark.parametrize("hours", [(1, 2), (2, 1)])
def test_an_item_that_was_scored_again_is_judged_once(hours: tuple[int, int]) -> None:
    """Also without a label: the same item twice would make every interval too narrow."""
    again = [stored(n, passed=at == 2, hours=at) for n in range(30) for at in hours]
    lots = [each._replace(item=replace(each.item, id=f"{each.item.id}@{n % 2}")) for n, each in enumerate(again)]
    people = settle_labels([HumanLabel("i1", "Judge", 1.0)])
    reader = state_reader([], [Row("run", each) for each in lots])
    (view,) = collect_judges(reader, STREAM, people, JudgeOptions(), (), lambda item: item.id.partition("@")[0])
    assert (view.judged, view.labelled) == (30, 1)
    assert view.rate.passes is not None and view.rate.passes.value == 1.0
    assert view.agreement is not None and view.agreement.agreement.value == 1.0


def test_disagreements_are_shown_as_privacy_allows() -> None:
    """Ids, words and explanations; redacted with a cleaner; no words at all when the text is not to be shown."""
    results, truth = traffic(80)
    shown = only(results, truth).disagreements
    assert shown and all(truth[each.item_id] == each.people != each.judge for each in shown)
    assert shown[0].judge and shown[0].query is not None and "@example.com" in shown[0].query.text
    cleaned = only(results, truth, JudgeOptions(cleaner=Redactor(key=b"k"))).disagreements
    assert all(each.query is not None and each.query.text == "write to [EMAIL]" for each in cleaned)
    hidden = only(results, truth, JudgeOptions(show_text=False)).disagreements
    assert all(each.query is None and each.answer is None and not each.explanation.text for each in hidden)


def anchored(hours: int, good: int, judge: MetricRef = JUDGE, anchors: str = "a" * 64) -> AnchorPass:
    """A pass over 40 anchors of which the judge passes `good`, and people 30."""
    verdicts = tuple(
        AnchorVerdict(f"a{n:02}", repeat, float(n < good), n < good, float(n < 30))
        for n in range(40)
        for repeat in (0, 1)
    )
    at = START + timedelta(hours=hours)
    return AnchorPass(STREAM, judge, anchors, at, "first", f"run {hours}", verdicts, None, 0.5)


def run_at(hours: int) -> RunReport:
    """The run that an anchor pass at that hour followed: it began two hours before."""
    return RunReport(f"run {hours}", "desk", STREAM, RunConfig("c" * 64), "done", START + timedelta(hours=hours - 2))


def test_a_judge_that_moved_between_two_passes_is_not_taken_for_the_application() -> None:
    """Six daily runs by the old judge, then it drifts on the day of the next pass: both fall alike there."""
    steady = [stored(1000 * day + n, n % 4 > 0, hours=24 * day + 1) for day in range(7) for n in range(200)]  # 75 %
    drifted = [stored(9000 + n, n % 10 > 3, hours=24 * 7 + 1) for n in range(200)]  # 60 %
    reader = state_reader([run_at(2), run_at(170)], [Row("run", each) for each in (*steady, *drifted)])
    (view,) = collect_judges(reader, STREAM, {}, JudgeOptions(), [anchored(2, 30), anchored(170, 24)])
    found = view.anchors
    assert found is not None and found.judge is not None and found.traffic is not None and found.application is not None
    assert found.judge.moved.value == pytest.approx(-0.15) and found.traffic.value == pytest.approx(-0.15)
    assert found.application.value == pytest.approx(0.0)


def test_traffic_of_an_unknown_run_is_not_guessed_at() -> None:
    """The judge's move is told alone."""
    results = [stored(n, n % 4 > 0, hours=1 + 168 * (n % 2)) for n in range(40)]
    (view,) = views(results, {}, passes=[anchored(2, 30), anchored(170, 24)])
    assert view.anchors is not None and view.anchors.judge is not None and view.anchors.traffic is None


def test_the_judges_drift_is_told_from_the_applications() -> None:
    """A milder judge on the same application: the traffic seems to rise, the anchors say that the judge did."""
    mild = replace(JUDGE, version="4", digest="f" * 64)
    before = [stored(n, n % 4 > 0, hours=1) for n in range(200)]  # 75 % pass
    after = [stored(1000 + n, n % 20 > 1, judge=mild, hours=20) for n in range(200)]  # 90 %
    reader = state_reader([run_at(2), run_at(21)], [Row("run", each) for each in (*before, *after)])
    (view,) = collect_judges(reader, STREAM, {}, JudgeOptions(), [anchored(2, 30), anchored(21, 36, mild)])
    found = view.anchors
    assert found is not None and found.judge is not None and found.traffic is not None and found.application is not None
    assert found.judge.moved.value == pytest.approx(0.15) and found.judge.moved.low > 0
    assert found.traffic.value == pytest.approx(0.15)
    assert found.application.value == pytest.approx(0.0) and found.application.low < 0 < found.application.high
    assert found.points[0].agreement is not None and found.points[0].agreement.value == 1.0
    assert found.votes is not None and found.votes.flip == 0.0
    text = judges_text((view,))
    assert "the judge changed by +15.0 points" in text and "so the application changed by about +0.0 points" in text


def test_a_changed_anchor_file_begins_anew() -> None:
    """Passes over two different sets are not compared."""
    (view,) = views([], {}, passes=[anchored(2, 30), anchored(21, 36, anchors="b" * 64)])
    assert view.anchors is not None and view.anchors.set_changed and view.anchors.judge is None
    assert "the anchor file was changed" in judges_text((view,))


def test_terminal_and_page_show_judges() -> None:
    """One line in the run's summary, one section in the page; without judges neither."""
    results, truth = traffic(300)
    judges = Judges(views(results, some(truth, 100), passes=[anchored(2, 30), anchored(3, 33)]), ("a note",))
    text, page = summary(run_of(ordinary(20)), 100, beside=Beside(judges=judges)), render(data_of(ordinary(20)), judges)
    assert "judges against human labels" in text and "Judge: 100 labels, kappa" in text and "! a note" in text
    assert 'id="judges"' in page and "PPI++" in page and "The judge changed by" in page
    assert 'id="judges"' not in render(data_of(ordinary(20)))
    assert "judges against human labels" not in summary(run_of(ordinary(20)))


def test_people_who_differ_are_the_ceiling() -> None:
    """Two people on the same items: their own kappa is told, and what they are split on is left out."""
    results = [stored(n, n % 5 > 0) for n in range(300)]
    labels = [
        HumanLabel(f"i{n}", "Judge", float((n % 5 > 0) != (who == "ben" and n % 10 == 3)), None, who)
        for n in range(100)
        for who in ("ann", "ben")
    ]
    reader = state_reader([], [Row("run", each) for each in results])
    (view,) = collect_judges(reader, STREAM, settle_labels(labels), JudgeOptions())
    assert (view.labelled, view.labels.undecided, view.labels.several) == (90, 10, 100)
    assert view.labels.people_kappa is not None and 0.5 < view.labels.people_kappa.value < 0.9
    text = judges_text((view,))
    assert (
        "human annotators among themselves: kappa 0." in text
        and "on 100 items that several labelled, split on 10" in " ".join(text.split())
    )


def test_the_report_reads_well_where_little_is_known() -> None:
    """No labels, one kind of label, no chance: each says in words what is missing, and nothing breaks."""
    results, truth = traffic(400)
    one_kind = only(results, {item: True for item in list(truth)[:100] if truth[item]})
    text = judges_text((one_kind,))
    assert "all human labels are pass" in text and "specificity" not in text.partition("pass rate")[0]
    (unlabelled,) = views(results, {}, passes=[anchored(2, 30)])
    assert "anchors judged 1 time" in judge_line(unlabelled) and "2 votes on each anchor" in judge_line(unlabelled)
    assert judge_line(only(results, {"elsewhere": True})) == "Judge: no labels on judged items"
    both_pass = only([stored(n, True) for n in range(50)], {f"i{n}": True for n in range(30)})
    assert "no kappa: one verdict throughout" in judge_line(both_pass)
    assert "kappa none" in judges_text((both_pass,))


def test_what_narrows_the_interval_is_said_in_labels() -> None:
    """Reached, so many more, or out of reach with what is judged."""
    results, truth = traffic(3000)
    words = judges_text((only(results, some(truth, 60)),))
    assert "more labels on random items for ±5 points" in words and "±2" in words
    assert "±5 points is reached" in judges_text((only(results, some(truth, 600)),))
    close = only(results, some(truth, 60))
    rate = replace(close.rate, needs=(LabelsNeeded(0.05, 50),))  # fulfilled, and the interval is wider still
    planned = replace(close, rate=rate)
    assert "a few more labels on random items for ±5 points" in " ".join(judges_text((planned,)).split())
    few = judges_text((only(*traffic(100)),))
    assert "cannot be reached with 100 judged items" in " ".join(few.split())


def test_long_histories_of_anchors_are_cut() -> None:
    """The terminal shows the last six passes and says how many there were before; failed votes are counted."""
    down = replace(
        anchored(99, 30), verdicts=(AnchorVerdict("a00", 0, None, None, 1.0, "Timeout"), *anchored(0, 9).verdicts[2:])
    )
    (view,) = views([], {}, passes=[*(anchored(hours, 30) for hours in range(9)), down])
    text = judges_text((view,))
    assert "4 earlier passes" in text and "1 vote failed" in text


def test_hostile_words_stay_words() -> None:
    """Labels, ids, explanations and notes that attack the page are shown, never obeyed."""
    judge = MetricRef(HOSTILE, HOSTILE, HOSTILE, HOSTILE)
    item = DatasetItem(id="x<script>", query=HOSTILE, actual_output=HOSTILE)
    score = MetricScore(judge, 0.9, True, 0.5, HOSTILE)
    result = StoredResult(item, Decision(item.id, True, 0.5, "random"), (score,), (), START)
    people = settle_labels([HumanLabel(item.id, HOSTILE, 0.0)])
    found = collect_judges(
        state_reader([], [Row("run", result)]), STREAM, people, JudgeOptions(), [anchored(1, 20, judge)]
    )
    page = render(data_of(ordinary(5)), Judges(found, (HOSTILE,)))
    assert page.count("<script>") == 1 and "<img" not in page and "\u202e" not in page
    text = judges_text(found)
    assert "\x1b" not in text and "\u202e" not in text
    assert all("\x1b" not in judge_line(each) for each in found)
