from __future__ import annotations

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise

import pytest

from shared.core.counts import BudgetUse, ModelUsage, Spending
from shared.core.results import Estimate, MetricFailure, RunConfig, RunCounts, StoredResult
from shared.privacy.redaction import Redactor
from shared.report.page.html import render
from shared.report.records.page_records import ReportOptions
from shared.scoring.gates import Gate, check_gates
from shared.scoring.statistics.agreement import Interval
from shared.scoring.statistics.changes import MetricChange
from tests.report.memory import ref
from tests.report.samples import START, data_of, hostile, ordinary, result, run_of, score

PAGE = ("html", "head", "meta", "title", "style", "script", "body", "header", "main", "footer", "section", "nav")
TEXT = (
    "p",
    "h1",
    "h2",
    "h3",
    "span",
    "b",
    "ul",
    "ol",
    "li",
    "a",
    "div",
    "dl",
    "dt",
    "dd",
    "details",
    "summary",
    "pre",
    "label",
    "input",
    "output",
)
TABLE = ("table", "caption", "thead", "tbody", "tr", "th", "td")
CHART = ("figure", "figcaption", "svg", "desc", "text", "line", "circle", "rect", "g", "polygon", "polyline")
OURS = {*PAGE, *TEXT, *TABLE, *CHART}


class Page(HTMLParser):
    """Collects what a page is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_page() -> str:
    results, run = hostile()
    return render(data_of(results, run, config=f"name: {run.monitor}\nnotes: {run.monitor}\n"))


def test_hostile_text_never_becomes_markup() -> None:
    """Whatever a trace, a metric, a source or a config says is shown as text: no element or handler comes of it."""
    page = Page(hostile_page())
    assert set(page.tags) <= OURS
    assert not [each for each in page.attributes if each[1].startswith("on") or each[1] in ("src", "style", "srcset")]
    assert all(value.startswith("#") for _, name, value in page.attributes if name == "href")
    assert page.text.count("<script>document.title='owned'</script>") > 10
    assert "{{7*7}}" in page.text


def test_invisible_characters_are_made_visible() -> None:
    """No control character, turn of writing direction, NUL or half a surrogate pair reaches the file."""
    page = hostile_page()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\uffff]", page)
    assert "⟨U+202E⟩gnp.exe" in page
    page.encode("utf-8")


def test_the_page_is_bounded() -> None:
    """A megabyte in every text does not make a page of megabytes, and what was cut is said."""
    page = hostile_page()
    assert len(page) < 400_000
    assert re.search(r"truncated: 9\d\d,\d{3} more characters", page)


@pytest.mark.parametrize("page", [pytest.param(lambda: render(data_of(ordinary())), id="ordinary"), hostile_page])
def test_nothing_is_fetched(page: object) -> None:
    """The page is one file: it names no address to load from, and its policy forbids it to."""
    assert callable(page)
    parsed = Page(page())
    assert not [each for each in parsed.attributes if re.match(r"(?i)\s*(?:[a-z]+:)?//", each[2])]
    policy = next(value for _, name, value in parsed.attributes if name == "content" and "default-src" in value)
    assert "default-src 'none'" in policy and "unsafe" not in policy
    assert "url(" not in page() and "@import" not in page()


def test_every_metric_is_on_the_page() -> None:
    """Each label has its row, its distribution and its history."""
    page = render(data_of(ordinary()))
    for label in ("exact", "overlap", "always", "latency", "logprob_sum"):
        assert page.count(f">{label}</h3>") >= 2
        assert re.search(rf'<th scope="row"><span class="label">{label}</span>', page)
    assert page.count(">judge<") >= 2


def drawn_numbers(page: str) -> list[float]:
    """Every number in the attributes of the charts."""
    places = {"x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "width", "height", "points"}
    values = [value for tag, name, value in Page(page).attributes if name in places and tag != "meta"]
    return [float(each) for value in values for each in re.split(r"[ ,]", value.replace("%", ""))]


ONE = [result(1, [score("exact", 1.0), score("latency", 0.0)])]
HUGE = [result(n, [score("logprob_sum", value)]) for n, value in enumerate((-1e300, 1e-300, 3.0, 1e15, math.nan, 5.0))]
CASES: dict[str, list[StoredResult]] = {
    "none": [],
    "one": ONE,
    "two alike": [result(n, [score("exact", 1.0), score("logprob_sum", -7.5)]) for n in range(2)],
    "zeros": [result(n, [score("exact", 0.0), score("logprob_sum", 0.0)]) for n in range(30)],
    "huge": HUGE,
    "ordinary": ordinary(),
    "inspection": [result(n, [score("overlap", n / 30)], probability=None) for n in range(30)],
}


@pytest.mark.parametrize("name", CASES)
def test_charts_hold_finite_numbers_inside_their_frames(name: str) -> None:
    """No chart has NaN or infinity in it, or a negative size: those draw nothing, in silence."""
    run = run_of([], estimates=(Estimate("logprob_sum", 5, -2e299, -math.inf, math.nan),)) if name == "huge" else None
    page = render(data_of(CASES[name], run))
    assert all(math.isfinite(each) for each in drawn_numbers(page))
    sizes = [value for tag, at, value in Page(page).attributes if tag == "rect" and at in ("width", "height")]
    assert all(float(value.rstrip("%")) >= 0 for value in sizes)
    assert not re.search(r"\bnan\b|\binf\b", page, re.IGNORECASE)


def test_an_empty_run_says_so() -> None:
    """A run that found nothing has a page without empty tables or charts."""
    page = render(data_of([], run_of([], "nothing_new", counts=RunCounts(read=40, already_scored=40))))
    assert "Nothing new: of 40 records read, 40 were processed before." in page
    assert "Nothing was sampled in this run" in page
    assert "<svg" not in page and "<table" not in page


def test_one_item_has_values_but_no_interval() -> None:
    """A single score is shown as what it is: a mean without bounds."""
    page = render(data_of([result(1, [score("overlap", 0.8)])]))
    assert '<b>0.8</b> <span class="ci"></span>' in page
    assert "every score is 0.8" in page


def test_all_failed_is_loud() -> None:
    """When every metric failed the page shows the failures, and no estimate."""
    failures = [MetricFailure(ref("judge"), f"item-{n}", "RateLimited", f"429 at call {n}") for n in range(9)]
    results = [result(n, [], [failure]) for n, failure in enumerate(failures)]
    page = render(data_of(results, run_of(results, "too_many_failures")))
    assert "✗ Too many failures" in page and "✗ 9" in page and "4 more" in page
    assert page.count("429 at call") == 6  # five examples, the first also as their summary
    assert "<svg" not in page


def test_an_inspection_queue_shows_no_aggregate() -> None:
    """What was not a random sample has no mean, pass rate or history of means, and the page says why."""
    results = [result(n, [score("overlap", n / 30)], probability=None) for n in range(30)]
    page = render(data_of(results))
    assert "30 shown, no estimate: not a random sample" in page
    assert "an inspection queue" in page
    assert 'id="rates"' not in page and 'id="time"' not in page
    assert "item-0" in page  # what a queue is for: its items


def test_secrets_are_masked() -> None:
    """Neither the config, the publishing settings, a note nor an error message shows a password or a key."""
    config = (
        "source: {api_key: s3cret-1, n: 5}\ndb:\n  password: |\n    s3cret-2\n    s3cret-3\n  user: me\n"
        "url: postgresql://me:s3cret-4@db/x\ntokens:\n- s3cret-5\n- s3cret-6\nmax_tokens: 256\nmine: ${SECRET_KEY}\n"
        "slack_token: 'xoxb-s3cret-7'\nauth: {\"client_secret\": \"s3cret-8\", 'bot-token': s3cret-9}\n"
    )
    failure = MetricFailure(ref("judge"), "item-1", "AuthError", "401: api_key=s3cret-a, Bearer s3cret-bbbbbb")
    results = [result(1, [score("exact", 1.0)], [failure])]
    run = run_of(
        results,
        notes=("see https://u:s3cret-c@h/",),
        config=RunConfig(publishing={"db_password": "s3cret-d", "n": "u://a:s3cret-e@h"}),
    )
    page = render(data_of(results, run, config))
    assert "s3cret" not in page
    assert "max_tokens: 256" in page and "${SECRET_KEY}" in page and "user: me" in page


def test_safe_mode_keeps_texts_of_traces_off_the_page() -> None:
    """With `show_text` off, ids and scores are shown and nothing that a person or a model wrote."""
    failure = MetricFailure(ref("judge"), "item-1", "ValueError", "said: question 1?")
    results = [result(1, [score("overlap", 0.2, "about question 1?")], [failure]), result(2, [score("overlap", 0.9)])]
    page = render(data_of(results, options=ReportOptions(show_text=False)))
    assert "item-1" in page and "trace-1" in page
    assert not re.search(r"question \d|answer \d|gold \d|source \d", page)


def test_a_cleaner_sees_texts_whole_and_ids_and_strata_too() -> None:
    """In safe mode no half of what crosses the limit of a text is shown, and no name of a stratum or an item is raw."""
    query = "x" * 30 + " write to jane.roe@example.com today"
    judged = result(1, [score("overlap", 0.2, f"about {query}")], stratum="jane.roe@example.com")
    judged = judged._replace(item=replace(judged.item, id="jane.roe@example.com", query=query))
    other = result(2, [score("overlap", 0.9)], stratum="other")
    for limit in (45, 52, 4_000):
        page = render(data_of([judged, other], options=ReportOptions(text_limit=limit, cleaner=Redactor(key=b"k"))))
        assert "jane" not in page and "roe@" not in page
        assert "x" * 30 + " write to [EMAIL]" in page and Redactor(key=b"k").hash_user("jane.roe@example.com") in page


def test_the_page_reads_well_aloud() -> None:
    """Headings do not skip a level, tables have captions and scopes, charts have titles and descriptions."""
    page = render(data_of(ordinary()))
    levels = [int(level) for level in re.findall(r"<h([1-6])", page)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.count("<table") == page.count("<caption")
    assert not re.search(r"<th(?![^>]*scope=)[ >]", page.replace("<thead>", ""))
    assert page.count('role="img"') == page.count("<desc>") == len(re.findall(r'role="img"[^>]*><title>', page))


def luminance(color: str) -> float:
    """Relative luminance of a colour such as #1b1f24, as WCAG defines it."""
    channels = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_have_contrast(theme: int) -> None:
    """Every text stands out from what it stands on by at least 4.5 to 1 (WCAG AA), light and dark."""
    css = resources.files("shared.report.page").joinpath("report.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    colors = dict(re.findall(r"--(\w+): (#\w{6})", blocks[theme]))
    on_page = [
        (each, ground) for each in ("ink", "quiet", "blue", "good", "bad", "mark") for ground in ("page", "soft")
    ]
    on_own = [("good", "goodback"), ("bad", "badback"), ("warn", "warnback"), ("ink", "warnback"), ("ink", "pale")]
    for text, ground in on_page + on_own:
        light, dark = sorted((luminance(colors[text]), luminance(colors[ground])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


def test_many_labels_are_bounded_and_said() -> None:
    """Sub-metrics with made-up names cannot make the page endless."""
    results = [result(n, [score(f"part-{n}-{k}", 0.5) for k in range(30)]) for n in range(10)]
    page = render(data_of(results, options=ReportOptions(labels=20)))
    assert "280 more metrics are not shown" in page
    assert page.count('<span class="label">') == 20


def test_what_models_cost_is_on_the_page() -> None:
    """By metric and model, with what is unknown said and the budget's share; hostile names stay text."""
    rows = (
        ModelUsage("judge", "small", 90, 20, 6, 12_345, 3_000, 456, 0.25, estimated=2),
        ModelUsage("<b>tone</b>", "<script>x</script>", 10, 0, 0, 100, 0, 10),
    )
    run = run_of(ordinary(), spending=Spending(usage=rows, budget=(BudgetUse("usd", "day", 1.0, 0.25, 0.25),)))
    page = Page(render(data_of(ordinary(), run)))
    text = " ".join(page.text.split())
    assert "$0.25 for 100 calls to models; 20 answers came from the cache. Models without a price" in text
    assert "50.0\u00a0% of the budget of $1.00 a day is used ($0.25 by this run)." in text.replace(
        "50.0 %", "50.0\u00a0%"
    )
    assert "about 12,345" in text
    assert "<script>x</script>" in text
    assert page.tags.count("script") == 1
    assert "What it cost" not in render(data_of(ordinary()))


def moved(label: str, before: float, after: float, changed: bool = True) -> MetricChange:
    """A pass rate before and after."""
    sides = [Interval(each, each - 0.05, each + 0.05) for each in (before, after)]
    step = after - before
    found = Interval(step, step - 0.07, step + 0.07)
    return MetricChange(label, "pass_rate", START, sides[0], sides[1], found, 90, 90, step > 0, changed, 0.001)


def test_the_page_begins_with_what_changed() -> None:
    """The sentence stands before every section and note, each change beside its metric, worse in red; gates colour."""
    rows = ordinary()
    gates = check_gates([Gate("overlap", least=0.99)], run_of(rows).estimates, {})[0]
    changes = (moved("exact", 0.97, 0.48), moved("overlap", 0.5, 0.9), moved("always", 0.9, 0.91, False))
    page = render(replace(data_of(rows), changes=changes, gates=gates))
    sentence = "exact fell from 97 % to 48 % (-49 [-56, -42]) since 2026-03-09 06:00 UTC; overlap rose from"
    assert sentence in page and page.index(sentence) < page.index("<nav") < page.index('id="metrics"')
    assert '<b class="bad">−49</b> <span class="ci">[−56, −42]</span>' in page
    assert '<b class="good">+40</b>' in page and '<b class="none">+1.0</b>' in page
    assert page.index("gate failed: the pass rate of overlap is") < page.index("<nav")
    assert re.search(r'<b class="bad">[\d.]+&nbsp;%</b>', page)
    calm = render(replace(data_of(rows), changes=(moved("exact", 0.9, 0.91, False),)))
    assert calm.index("No change that the data can show (1 metric") < calm.index("<nav")


def test_what_matters_comes_first() -> None:
    """Metrics, then their history, the worst items, and at the end deliveries and counts, folded unless they warn."""
    page = render(data_of(ordinary()))
    places = [
        page.index(f'<section id="{name}"') for name in ("metrics", "time", "worst", "scores", "published", "run")
    ]
    assert places == sorted(places)
    assert page.count('class="spark"') == 5
    folded = page[page.index('<section id="published"') :]
    assert re.match(r".*?<details open><summary>", folded, re.DOTALL)  # failures are counted
    calm = [result(n, [score("exact", 1.0)]) for n in range(5)]
    assert "<details><summary>10 records read, 5 scores" in render(data_of(calm))


def test_strata_are_shown_by_name() -> None:
    """The table of the sample and an item's card say which field a stratum is a value of; unknown, it is a stratum."""
    data = data_of(ordinary())
    named = render(replace(data, stratum_field="metadata.channel"))
    assert "<caption>By metadata.channel</caption>" in named and "· metadata.channel mail</dd>" in named
    assert "<caption>By stratum</caption>" in render(data) and "· stratum mail</dd>" in render(data)


def test_traces_are_linked_where_they_are_known() -> None:
    """A trace's id leads to the trace, quoted; without an address it is text. No id can change the address."""
    item = replace(result(1, [score("exact", 0.0)]).item, trace_id="../?a=b#'\"><b>")
    rows = [result(1, [score("exact", 0.0)])._replace(item=item), result(2, [score("exact", 1.0)])]
    linked = render(replace(data_of(rows), trace_url="https://langfuse.test/trace/{trace_id}"))
    links = {value for _, name, value in Page(linked).attributes if name == "href" and not value.startswith("#")}
    assert links == {f"https://langfuse.test/trace/{each}" for each in ("trace-2", "..%2F%3Fa%3Db%23%27%22%3E%3Cb%3E")}
    assert "trace trace-2" in render(data_of(rows)) and "https:" not in render(data_of(rows))
