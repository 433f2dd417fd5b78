"""What Trueline writes is readable by its user alone, whatever the umask says."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.core.traces import TraceCollection
from shared.database.engine.database import open_database
from shared.http.rate_limit_store import FileRateLimitStore
from shared.langfuse.source.read_spool import Spool
from shared.llm.adapters.offline import OfflineAdapter
from shared.llm.adapters.recording import RecordingAdapter
from tests.wiring.project import Project

CONFIG = """\
name: private
source: {type: file, name: private, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
scored_store: {type: STORE, file_path: kept/deep/state}
report: {path: out/deep/page.html}
publishing: {sinks: [{type: file, directory: sent/rows, format: FORMAT}]}
"""


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    """The umask of a careless service: everybody may read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def open_paths(folder: Path, but: set[str]) -> list[str]:
    """Everything below a folder that somebody else may open."""
    paths = {str(each.relative_to(folder)): stat.S_IMODE(each.lstat().st_mode) for each in folder.rglob("*")}
    return [f"{path} {mode:o}" for path, mode in paths.items() if path not in but and mode & 0o077]


@pytest.mark.parametrize(("store", "format"), [("sqlite", "csv"), ("csv", "parquet")])
def test_a_run_leaves_nothing_that_others_may_open(tmp_path: Path, store: str, format: str) -> None:
    """State, its log and locks, the report, the sink's files and every folder made for them."""
    project = Project(tmp_path, cold=True)
    project.write("m.yaml", CONFIG.replace("STORE", store).replace("FORMAT", format))
    before = {str(each.relative_to(tmp_path)) for each in tmp_path.rglob("*")}
    done = project.run("m.yaml")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out/deep/page.html").exists()
    assert list((tmp_path / "sent/rows").rglob(f"*.{format}"))
    assert open_paths(tmp_path, before) == []


def test_files_beside_a_run_are_private_too(tmp_path: Path) -> None:
    """SQLite's log, recordings, spools, rate limits, saved traces."""
    asyncio.run(RecordingAdapter(OfflineAdapter(), tmp_path / "a/recorded.jsonl").complete("hello"))
    with FileRateLimitStore(tmp_path / "b/c/limits.json").transaction() as values:
        values["x"] = 1.0
    Spool(tmp_path / "d/langfuse-1.reading")
    database = open_database(tmp_path / "e/f/state.db")
    TraceCollection([]).save_json(tmp_path / "traces.json")
    assert (tmp_path / "e/f/state.db-wal").exists()
    assert (tmp_path / "a/recorded.jsonl").stat().st_size
    assert open_paths(tmp_path, set()) == []
    database.close()
