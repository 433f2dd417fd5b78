"""The page in a real browser: only its own script runs, nothing is fetched, nothing is wider than a telephone."""

from __future__ import annotations

import html
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shared.report.page.html import render
from tests.report.samples import data_of, hostile, ordinary, result, score

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
         "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"]  # fmt: skip
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")]


class Canary(BaseHTTPRequestHandler):
    """Answers everything and remembers what was asked for."""

    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def canary() -> Iterator[tuple[str, list[str]]]:
    """The address of a server on this machine, and what it is asked for."""
    handler = type("Listening", (Canary,), {"asked": []})
    server = HTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked  # type: ignore[attr-defined]  # set two lines above
    server.shutdown()
    thread.join()
    server.server_close()


def dom(tmp_path: Path, page: str) -> str:
    """The document as Chromium has it after loading the page."""
    path = tmp_path / "page.html"
    path.write_text(page, "utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    done = subprocess.run(command, capture_output=True, timeout=120, check=True)
    return done.stdout.decode("utf-8")


def attack(address: str) -> str:
    """Text that runs and fetches wherever it is taken for markup or style."""
    return (
        f"\"'></style></script></pre></svg><script>fetch('{address}/s');document.title='owned'</script>"
        f"<img src={address}/i onerror=\"document.title='owned'\"><link rel=stylesheet href={address}/l>"
        f"<iframe src={address}/f></iframe><style>body{{background:url({address}/b)}}</style>"
        f"<svg onload=\"document.title='owned'\"><meta http-equiv=refresh content='0;url={address}/m'>"
    )


def test_nothing_runs_and_nothing_is_fetched(tmp_path: Path, canary: tuple[str, list[str]]) -> None:
    """Attacks in every text stay text in a browser: nothing of theirs runs or is there, no request leaves."""
    address, asked = canary
    results, run = hostile(attack(address))
    seen = dom(tmp_path, render(data_of(results, run, config=attack(address))))
    title = re.search(r"<title>(.*?)</title>", seen, re.DOTALL)
    assert title and title[1] != "owned" and ": done, " in title[1]
    assert not re.search(r"<(?:img|iframe|link)\b", seen) and seen.count("<script") == 1
    assert seen.count("<style>") == 1 and 'id="run"' in seen
    assert asked == []


def test_the_canary_sings(tmp_path: Path, canary: tuple[str, list[str]]) -> None:
    """The test above is worth nothing if the attack is harmless: unescaped, it runs and fetches."""
    address, asked = canary
    seen = dom(tmp_path, f"<title>safe</title><p>{attack(address).partition('<link')[0]}</p>")
    assert "<title>owned</title>" in seen
    assert asked


@pytest.mark.parametrize("kind", ["ordinary", "hostile"])
def test_a_telephone_shows_the_page_without_scrolling_sideways(tmp_path: Path, kind: str) -> None:
    """At 390 pixels, with everything unfolded, nothing is wider than the page, and no table than its frame."""
    results, run = hostile("W" * 300 + "<b> \u202e") if kind == "hostile" else (ordinary(), None)
    page = render(data_of(results, run, config="name: " + "x" * 500)).replace("<details", "<details open")
    measuring = (
        f'<iframe width=390 height=800 style=\'border:0\' srcdoc="{html.escape(page)}" onload="const page = '
        "this.contentDocument; const wide = [...page.querySelectorAll('.scroll')].filter(e => e.scrollWidth > "
        "e.clientWidth || e.querySelector('caption').offsetWidth < 200).map(e => e.ariaLabel); "
        "document.title = [page.documentElement.scrollWidth, page.querySelectorAll('svg').length, ...wide].join(' ')"
        '"></iframe>'
    )
    found = re.search(
        r"<title>(\d+) (\d+)(.*)</title>", dom(tmp_path, f"<html><head><title></title></head>{measuring}</html>")
    )
    assert found is not None, "the page was not measured"
    assert int(found[1]) <= 390
    assert int(found[2]) > 1
    assert found[3] == ""


def test_the_worst_items_are_searched(tmp_path: Path) -> None:
    """Words leave the items that have all of them; the box leaves those that did not pass. The policy lets it run."""
    steps = (
        "const page = this.contentDocument, text = page.getElementById('search-text'), box = "
        "page.getElementById('search-failed'), shown = () => [...page.querySelectorAll('details.item')].filter(e => "
        "!e.hidden), out = []; out.push(page.getElementById('search').hidden, shown().length);"
        "text.value = 'QUESTION 7?'; text.dispatchEvent(new Event('input')); out.push(shown().length, "
        "shown().every(e => e.textContent.includes('question 7?')));"
        "text.value = ''; text.dispatchEvent(new Event('input')); box.checked = true; box.dispatchEvent(new "
        "Event('change')); out.push(shown().length, shown().every(e => e.textContent.includes('not passed')));"
        "document.title = out.join(' ')"
    )
    rows = [result(n, [score("overlap", n / 10)]) for n in range(10)]
    page = html.escape(render(data_of(rows)))
    seen = dom(tmp_path, f'<html><head><title></title></head><iframe srcdoc="{page}" onload="{steps}"></iframe></html>')
    title = re.search(r"<title>(.*?)</title>", seen)
    assert title is not None and title[1] == "false 10 1 true 7 true"
