"""Docs that can be found: the index links every page, and every link leads to a page and a heading that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.house.houseplan import ROOT, short

DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.M | re.S)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


def links_of(page: Path) -> list[str]:
    """Where a page's links lead; examples in code are no links."""
    return _LINK.findall(_CODE.sub("", page.read_text()))


def anchors_of(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    outside = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    heads = re.findall(r"^#+ (.+)$", outside, re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", head) for head in heads]
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in plain}


def broken_links(page: Path) -> list[str]:
    """Links of a page to a file or a heading that is not there."""
    found = []
    for link in links_of(page):
        place, _, anchor = link.partition("#")
        target = page if not place else (page.parent / place).resolve()
        missing = not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors_of(target))
        if not place.startswith(("http://", "https://")) and missing:
            found.append(link)
    return found


def test_the_index_links_every_page() -> None:
    """docs/README.md leads to each page and notebook of docs/, so that none is found by luck only."""
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in links_of(DOCS / "README.md")}
    pages = {path.resolve() for kind in ("*.md", "*.ipynb") for path in DOCS.rglob(kind)} - {DOCS / "README.md"}
    assert sorted(short(path) for path in pages - linked) == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_every_link_leads_somewhere(page: Path) -> None:
    """A link to a page or a heading that was renamed is found here, not by the reader."""
    assert broken_links(page) == []


def test_a_broken_link_is_seen(tmp_path: Path) -> None:
    """The gate above is worth nothing if it accepts all: a lost page, a lost heading; code is left alone."""
    page = tmp_path / "p.md"
    page.write_text("# A `b` head\n[x](#a-b-head) [y](#no) [z](no.md) `[c](code.md)`\n```\n[d](e.md)\n# no\n```\n")
    assert broken_links(page) == ["#no", "no.md"]
