"""`prices:` and `budget:` in a configuration: what is asked is paid for, and never more than is allowed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.llm.fake_openai import BROKEN, StandIn, standing_in
from tests.wiring.config.test_models import METRIC
from tests.wiring.project import Project

CONFIG = """\
name: asking
source: {{type: file, name: asking, path: items.jsonl, window: all}}
models:
  judge: {{type: openai_compatible, base_url: '{url}', model: small, tries: 1}}
prices: {{small: {{input: 100, cached_input: 10, output: 1000}}}}
{more}
metrics_config:
  Says: {{class: "own:Asks", model: judge}}
"""
EACH = (4 * 100 + 3 * 10 + 3 * 1000) / 1e6  # dollars: 7 tokens in, of which 3 cached, and 3 out ("You said a1")
MOST = (2 + 8 + 32 + 1) + 20  # tokens reserved: the bytes of "a1", the chat template's, one for rounding, max_tokens


@pytest.fixture
def server() -> Iterator[StandIn]:
    with standing_in() as found:
        yield found


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("own.py", METRIC)
    return made


def configured(project: Project, server: StandIn, more: str = "") -> None:
    project.write("m.yaml", CONFIG.format(url=server.url, more=more))


def ran(project: Project, code: int, *arguments: str) -> dict[str, Any]:
    done = project.run("m.yaml", "--json", *arguments)
    assert done.returncode == code, done.stderr + done.stdout
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def notes(report: dict[str, Any]) -> str:
    return "\n".join(report["notes"])


def test_calls_are_counted_and_priced(project: Project, server: StandIn) -> None:
    """Each metric and model has its calls, tokens and dollars, with the server's cached input at its own price."""
    configured(project, server)
    report = ran(project, 0)
    (row,) = report["usage"]
    assert (row["metric"], row["model"], row["calls"], row["cached"], row["failed"]) == ("Says", "small", 8, 0, 0)
    assert (row["input"], row["cached_input"], row["output"]) == (56, 24, 24)
    assert row["cost"] == pytest.approx(8 * EACH)
    assert report["cost"] == pytest.approx(8 * EACH)


def test_remembered_answers_cost_nothing_and_are_known_to_have_saved_money(project: Project, server: StandIn) -> None:
    """The second run asks nobody; the cache knows what its hits cost when they were asked for."""
    configured(project, server)
    ran(project, 0, "--no-dedup")
    (row,) = ran(project, 0, "--no-dedup")["usage"]
    assert (row["calls"], row["cached"], row["cost"]) == (0, 8, 0.0)
    stats = json.loads(project.run("cache", "stats", "m.yaml", "--json").stdout)
    assert stats["saved"] == pytest.approx(8 * EACH)


def test_failed_calls_are_counted_and_unpaid(project: Project, server: StandIn) -> None:
    """A server that fails has charged nothing that anybody knows of."""
    configured(project, server)
    server.faults.extend([BROKEN] * 2)
    (row,) = ran(project, 3)["usage"]
    assert (row["calls"], row["failed"], row["input"]) == (6, 2, 42)


def test_a_model_without_a_price_is_counted_and_said(project: Project, server: StandIn) -> None:
    """No price is not a price of nothing: the cost stays unknown, and a note says so once."""
    configured(project, server)
    report = ran(project, 0, "--set", "prices={}")
    assert report["usage"][0]["cost"] is None
    assert report["usage"][0]["input"] == 56
    assert report["cost"] is None
    assert notes(report).count("no price is known for 'small'") == 1


@pytest.mark.parametrize("budget", ["usd: 0.035", f"tokens: {5 * 10 + MOST}", "usd: 0.035, tokens: 100000"])
def test_a_budget_stops_the_run_and_the_next_goes_on(project: Project, server: StandIn, budget: str) -> None:
    """Exit code 4, what was scored is kept, nothing is spent beyond the limit, and the next run finishes the draw."""
    configured(project, server, f"budget: {{{budget}, on_over: stop}}")
    report = ran(project, 4)
    assert report["status"] == "over_budget"
    assert 0 < report["counts"]["scored"] < 8
    assert report["counts"]["failures"] == 0
    assert report["estimates"] == []
    assert "allows no further call" in notes(report)
    assert all(use["spent"] <= use["limit"] for use in report["budget"])
    assert len(server.questions) == report["counts"]["scored"]
    configured(project, server)
    rest = ran(project, 0)
    assert rest["counts"]["resumed"] == 8 - report["counts"]["scored"]
    assert rest["estimates"][0]["n"] == 8
    assert len(server.questions) == 8


def test_quiet_says_that_the_budget_ended_the_run(project: Project, server: StandIn) -> None:
    """Exit code 4 with one line why, and nothing on standard output."""
    configured(project, server, "budget: {tokens: 70}")
    done = project.run("m.yaml", "--quiet")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1)
    assert done.stderr.startswith("trueline: Over budget: ") and "allows no further call" in done.stderr


def test_over_budget_goes_before_too_many_failures(project: Project, server: StandIn) -> None:
    """When both apply, the exit code is 4."""
    configured(project, server, "budget: {tokens: 70}")
    server.faults.append(BROKEN)
    assert ran(project, 4)["counts"]["failures"] == 1


def test_warn_goes_on_and_says_so_once(project: Project, server: StandIn) -> None:
    """Everything is scored, the report is done, and one note says that the budget is passed."""
    configured(project, server, "budget: {usd: 0.005, on_over: warn}")
    report = ran(project, 0)
    assert report["counts"]["scored"] == 8
    assert notes(report).count("over budget") == 1


def test_thin_keeps_the_budget_and_the_estimates(project: Project, server: StandIn) -> None:
    """Fewer items are scored, drawn by chance; their probabilities are stored, and the run is done."""
    project.items(400)
    configured(project, server, "budget: {tokens: 1500, on_over: thin}")
    report = ran(project, 0)
    counts = report["counts"]
    assert report["status"] == "done"
    assert counts["drawn"] == 400
    assert counts["thinned"] == 400 - counts["scored"]
    assert 50 < counts["scored"] < 150
    assert report["budget"][0]["spent"] <= 1500
    assert report["estimates"][0]["n"] == counts["scored"]
    assert "thinned to keep the budget" in notes(report)
    with sqlite3.connect(project.folder / "data" / "state" / "trueline.db") as connection:
        rows = list(connection.execute("select state, strategy, probability from decisions"))
    assert {state for state, _, _ in rows} == {"published", "undrawn"}
    assert all(0 < chance < 1 for _, strategy, chance in rows if strategy == "all, thinned")
    assert sum(1 / chance for state, _, chance in rows if state == "published") == pytest.approx(400, rel=0.4)
    assert ran(project, 0)["status"] == "nothing_new"


def test_thin_with_nothing_left_waits_for_the_next_day(project: Project, server: StandIn) -> None:
    """A day's budget counts the runs before; with nothing left the draw waits, and the exit code is 4."""
    configured(project, server, "budget: {tokens: 80, on_over: thin, per: day}")
    again = ("m.yaml", "--json", "--no-dedup", "--set", "response_cache.enabled=false")
    done = project.run(*again)
    for _ in range(30):  # by chance a run keeps no item, and is done
        if done.returncode == 4:
            break
        done = project.run(*again)
    assert done.returncode == 4
    assert len(server.questions) * 10 <= 80
    (use,) = json.loads(done.stdout)["budget"]
    assert use["before"] + use["spent"] <= 80


def test_thin_without_money_for_one_item_keeps_the_draw(project: Project, server: StandIn) -> None:
    """Leaving out all of it by chance would lose the draw and call it done: the run ends, the next one goes on."""
    configured(project, server, "budget: {usd: 0.000001, on_over: thin}")
    report = ran(project, 4)
    assert "not enough for one of 8 sampled item(s)" in notes(report)
    assert server.questions == []
    configured(project, server)
    assert ran(project, 0)["counts"]["scored"] == 8


def test_a_days_budget_counts_the_runs_before(project: Project, server: StandIn) -> None:
    """The second run of the day has what the first one left."""
    configured(project, server, f"budget: {{tokens: {8 * 10 + MOST + 5}, per: day}}")
    ran(project, 0)
    server.seen.clear()
    report = ran(project, 4, "--no-dedup", "--set", "response_cache.enabled=false")
    assert len(server.questions) == 1
    assert "by earlier runs" in notes(report)


def test_a_dry_run_and_check_tell_the_cost_beforehand(project: Project, server: StandIn) -> None:
    """Without past runs by counting tokens, with them by their averages; nothing is asked."""
    configured(project, server, "budget: {usd: 0.1, on_over: thin}")
    dry = notes(ran(project, 0, "--dry-run"))
    assert "cost: at most about $0.17" in dry
    assert "by counting what would be asked about 8" in dry
    assert "would be scored, sampled at random (on_over: thin)" in dry
    told = project.run("check", "m.yaml").stdout
    assert "small: $100 input, $10 cached input, $1000 output, a million tokens" in told
    assert "budget      $0.10 a run, then thin" in told
    assert "cost: at most about $0.021" in told
    assert server.seen == []
    ran(project, 0)
    project.items(16)
    dry = notes(ran(project, 0, "--dry-run"))
    assert f"cost: about ${8 * EACH:.3f}" in dry
    assert "from 1 past runs with 8 items" in dry
    assert "from 1 past runs" in project.run("check", "m.yaml").stdout


def test_the_cost_is_shown_on_the_terminal_and_the_page(project: Project, server: StandIn) -> None:
    """Calls, tokens, dollars and the share of the budget, in both."""
    configured(project, server, "budget: {usd: 1}")
    shown = project.run("m.yaml", "--quiet").stdout + project.run("m.yaml", "--no-dedup").stdout
    assert "models: 0 calls, 8 from cache" in shown
    assert "of the budget of $1.00 a run is used" in shown
    page = (project.folder / "data" / "reports" / "asking.html").read_text()
    assert "<h2>Cost</h2>" in page
    assert ">small</td>" in page


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ("budget: {}", "expected usd, tokens or both, found neither"),
        ("budget: {usd: 0}", "budget.usd: found 0 (an integer); expected greater than 0"),
        ("budget: {usd: 1, on_over: halt}", "expected 'thin', 'stop' or 'warn'"),
        ("budget: {usd: 1, on_ovr: stop}", "unknown key 'on_ovr'"),
        ("budget: {usd: 1, per: week}", "expected 'run', 'day' or 'month'"),
        (
            "budget: {usd: 1, on_over: thin}\nscored_store: {type: csv}",
            "thin needs the items not sampled in the state",
        ),
    ],
)
def test_mistakes_in_a_budget_are_told(project: Project, server: StandIn, more: str, told: str) -> None:
    """A mistake stops the run before any work, with its line."""
    configured(project, server, more)
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert told in done.stderr
    assert "m.yaml:" in done.stderr


@pytest.mark.parametrize(
    ("prices", "told"),
    [
        ("prices: {smal: {input: 1, output: 2}}", "model 'small' has no price. Known: 'smal'. Did you mean"),
        ("prices: {}", "model 'small' has no price. No price is given under `prices`."),
        ("prices: {small: {input: 1}}", "'output' is missing"),
        ("prices: {small: {input: -1, output: 2}}", "prices.small.input"),
        ("prices: {small: {input: 1, output: 2, cached: 1}}", "unknown key 'cached'"),
        ("prices: {small: 3}", "prices.small"),
        ("prices: [small]", "expected"),
        ("prices: gone.yaml", "gone.yaml: cannot be read"),
        ("prices: bad.yaml", "bad.yaml:2  small.inptu: unknown key 'inptu'"),
    ],
)
def test_mistakes_in_the_price_table_are_told(project: Project, server: StandIn, prices: str, told: str) -> None:
    """A budget in dollars needs the price of every model that is asked; what is wrong is told with the nearest name."""
    project.write("bad.yaml", "small:\n  inptu: 1\n  input: 1\n  output: 2\n")
    text = CONFIG.format(url=server.url, more="budget: {usd: 1}")
    project.write("m.yaml", "\n".join(prices if line.startswith("prices") else line for line in text.splitlines()))
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert told in done.stderr


def test_prices_may_stand_in_a_file_of_their_own_or_with_the_model(project: Project, server: StandIn) -> None:
    """A path names a YAML file of prices with patterns; a model's own price goes before the table's."""
    project.write("prices.yaml", '"s*": {input: 1, output: 2}\n"sm*": {input: 100, cached_input: 10, output: 1000}\n')
    configured(project, server)
    assert ran(project, 0, "--set", "prices=prices.yaml")["cost"] == pytest.approx(8 * EACH)
    again = ("--no-dedup", "--set", "response_cache.enabled=false", "--set", "models.judge.price={input: 0, output: 1}")
    assert ran(project, 0, *again)["cost"] == pytest.approx(24e-6)
