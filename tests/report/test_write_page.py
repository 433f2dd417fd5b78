from __future__ import annotations

import os
import resource
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from shared.core.errors import StoreError
from shared.report.page.html import render, write_report
from tests.report.samples import data_of, ordinary


@contextmanager
def full_disk() -> Iterator[None]:
    """No file may grow beyond a thousand bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_page_is_written_whole(tmp_path: Path) -> None:
    """The file is the page, in a folder made for it, readable by its owner alone, and nothing else is left."""
    path, data = tmp_path / "deep" / "report.html", data_of(ordinary(20))
    write_report(data, path)
    write_report(data, path)
    assert path.read_text("utf-8") == render(data)
    assert list(path.parent.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_leaves_the_old_page(tmp_path: Path) -> None:
    """A page that cannot be written whole does not harm the one that is there, and the error names the path."""
    path = tmp_path / "report.html"
    path.write_text("old")
    with full_disk(), pytest.raises(StoreError, match=r"report\.html"):
        write_report(data_of(ordinary(20)), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A folder that is a file, and a target that is a folder, are errors of the store with the path in them."""
    (tmp_path / "file").touch()
    (tmp_path / "report.html").mkdir()
    for path in (tmp_path / "file" / "report.html", tmp_path / "report.html"):
        with pytest.raises(StoreError, match="cannot write the report") as caught:
            write_report(data_of([]), path)
        assert str(path) in str(caught.value)
    assert {each.name for each in tmp_path.iterdir()} == {"file", "report.html"}


def test_a_read_only_folder_is_named(tmp_path: Path) -> None:
    """A folder without permission to write is an error of the store; the superuser, who may, tries as somebody else."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    user = os.geteuid()
    data = data_of([])
    render(data)  # what is imported late is imported while it may be read
    try:
        if user == 0:
            os.seteuid(65534)
        with pytest.raises(StoreError, match="locked"):
            write_report(data, folder / "report.html")
    finally:
        os.seteuid(user)
