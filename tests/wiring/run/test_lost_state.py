"""A memory that was lost is noticed: the run fails and says what to do, and never scores everything again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from shared.files.scored_csv import CsvScoredItems
from shared.wiring.cli import main

CONFIG = """\
name: watched
source: {type: file, name: cli, path: items.jsonl, window: all}
metrics_config: {Exact: {class: exact_match}}
report: {path: null}
"""
STATE = Path("data/state/trueline.db")
MARKS = Path("data/scored_items.csv")


class Monitor:
    """A monitor in a folder of its own; commands run in this process."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self._capsys = folder, capsys
        (folder / ".env").touch()
        self.items(5)
        self.store("{type: sqlite}")

    def items(self, count: int) -> None:
        rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(count)]
        (self.folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def store(self, block: str, name: str = "watched") -> None:
        text = CONFIG.replace("watched", name) + f"scored_store: {block}\n"
        (self.folder / "m.yaml").write_text(text)

    def run(self, *options: str) -> tuple[int, str]:
        """The exit code, and what was said on standard error."""
        code = main(["run", str(self.folder / "m.yaml"), "--quiet", *options])
        return code, self._capsys.readouterr().err

    def scored(self, *options: str) -> int:
        """How many items a run that succeeds scores."""
        code = main(["run", str(self.folder / "m.yaml"), "--json", *options])
        found = self._capsys.readouterr()
        assert code == 0, found.err
        counts: dict[str, Any] = json.loads(found.out)["counts"]
        return int(counts["scored"])

    def copy(self, path: Path) -> dict[str, bytes]:
        """The files of a state, without what is kept beside it."""
        found = (self.folder / path).parent.glob(f"{path.name}*")
        return {each.name: each.read_bytes() for each in found if each.suffix in (path.suffix, ".db-wal", ".db-shm")}

    def restore(self, path: Path, copy: dict[str, bytes]) -> None:
        for name in self.copy(path).keys() - copy.keys():
            (self.folder / path).with_name(name).unlink()
        for name, content in copy.items():
            (self.folder / path).with_name(name).write_bytes(content)

    def lose(self, path: Path) -> None:
        for file in (self.folder / path).parent.glob(f"{path.name}*"):
            file.unlink()


@pytest.fixture
def monitor(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Monitor:
    monkeypatch.chdir(tmp_path)
    for name in ("TRUELINE_STATE_MUST_EXIST", "GITHUB_EVENT_NAME", "GITHUB_RUN_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    return Monitor(tmp_path, capsys)


STORES = {"sqlite": STATE, "csv": MARKS}


@pytest.mark.parametrize("store", STORES)
def test_a_memory_that_must_be_there_and_is_not_fails_the_run(monitor: Monitor, store: str) -> None:
    """The message names the file, what probably happened, and both ways out; nothing is created."""
    monitor.store(f"{{type: {store}, must_exist: true}}")
    code, told = monitor.run()
    assert code == 1
    assert f"the state of earlier runs of monitor 'watched' is missing: {STORES[store]} is not there" in told
    assert "scored_store.must_exist is true" in told and "cache that kept it was evicted" in told
    assert "restore it" in told and "--first-run" in told
    assert not (monitor.folder / "data").exists()
    assert monitor.scored("--first-run") == 5
    monitor.items(7)
    assert monitor.scored() == 2
    monitor.lose(STATE)
    monitor.lose(MARKS)
    code, _ = monitor.run()
    assert code == 1 and not (monitor.folder / STORES[store]).exists()


def test_a_csv_may_lose_the_database_beside_it(monitor: Monitor) -> None:
    """The CSV is the memory: with it nothing is scored twice, and no run fails."""
    monitor.store("{type: csv, must_exist: true}")
    assert monitor.scored("--first-run") == 5
    monitor.lose(STATE)
    assert monitor.scored() == 0


def test_a_csv_that_is_gone_while_the_database_knows_items_is_noticed_without_any_setting(monitor: Monitor) -> None:
    monitor.store("{type: csv}")
    assert monitor.scored() == 5
    monitor.lose(MARKS)
    code, told = monitor.run()
    assert code == 1
    assert f"{MARKS} is not there, though {STATE} knows of 5 items of it" in told
    assert not (monitor.folder / MARKS).exists()
    assert monitor.scored("--first-run") == 0  # the database still knows them
    assert monitor.scored() == 0


@pytest.mark.parametrize("store", STORES)
def test_an_older_copy_is_noticed_without_any_setting(monitor: Monitor, store: str) -> None:
    """A restored copy that lacks what the newest run stored fails the run; nothing is scored twice in silence."""
    monitor.store(f"{{type: {store}}}")
    assert monitor.scored() == 5
    copy = monitor.copy(STORES[store])
    monitor.items(8)
    assert monitor.scored() == 3
    newest = monitor.copy(STORES[store])
    monitor.restore(STORES[store], copy)
    code, told = monitor.run()
    assert code == 1 and "it is an older copy" in told and "--first-run" in told
    monitor.restore(STORES[store], newest)
    assert monitor.scored() == 0
    monitor.restore(STORES[store], copy)
    monitor.scored("--first-run")
    assert monitor.scored() == 0


def test_a_database_that_is_gone_is_noticed_without_any_setting(monitor: Monitor) -> None:
    """The name of the newest run lies beside it."""
    assert monitor.scored() == 5
    monitor.restore(STATE, {})
    code, told = monitor.run()
    assert code == 1 and f"{STATE} is not there, though run 'watched-" in told
    assert monitor.scored("--first-run") == 5 and monitor.scored() == 0


def test_a_csv_that_is_cleared_is_no_older_copy(monitor: Monitor) -> None:
    """Whoever clears the processed items wants them scored again."""
    monitor.store("{type: csv, state_path: first.db}")
    assert monitor.scored() == 5
    CsvScoredItems(monitor.folder / MARKS).clear()
    monitor.store("{type: csv, state_path: second.db}")
    assert monitor.scored() == 5


def test_a_sink_tells_that_the_state_is_another_one(monitor: Monitor, capsys: pytest.CaptureFixture[str]) -> None:
    """The tables of push_to_db name a run that this state does not know: a warning, before anybody wonders."""
    push = "\npublishing: {push_to_db: true, database: {connection_string: target.db}}"
    monitor.store("{type: sqlite, file_path: first.db}" + push)
    assert monitor.scored() == 5
    monitor.items(7)
    assert monitor.scored() == 2
    monitor.store("{type: sqlite, file_path: second.db}" + push)
    assert main(["run", str(monitor.folder / "m.yaml"), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("which the state of this monitor does not know" in each for each in notes)


def test_a_new_monitor_beside_an_older_one_is_no_lost_memory(monitor: Monitor) -> None:
    """Unless it is said that its memory must be there: then another monitor's is not taken for it."""
    assert monitor.scored() == 5
    monitor.store("{type: sqlite}", name="second")
    assert monitor.scored() == 5
    monitor.store("{type: sqlite, must_exist: true}", name="third")
    code, told = monitor.run()
    assert code == 1
    assert f"{STATE} knows no run of this monitor on file:cli" in told


@pytest.mark.parametrize("store", STORES)
def test_a_first_run_without_items_counts(monitor: Monitor, store: str) -> None:
    """A quiet first hour is remembered: the second run is no lost memory."""
    monitor.store(f"{{type: {store}, must_exist: true}}")
    monitor.items(0)
    assert monitor.scored("--first-run") == 0
    monitor.items(3)
    assert monitor.scored() == 3


SURROUNDINGS = [
    ({"TRUELINE_STATE_MUST_EXIST": "1"}, "{type: sqlite}", "TRUELINE_STATE_MUST_EXIST is set"),
    ({"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": "12"}, "{type: sqlite}", "scheduled run 12"),
    ({"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": "1"}, "{type: sqlite}", ""),
    ({"GITHUB_EVENT_NAME": "workflow_dispatch", "GITHUB_RUN_NUMBER": "12"}, "{type: sqlite}", ""),
    ({"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": "12"}, "{type: sqlite, must_exist: false}", ""),
    ({"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": "12"}, "{type: none}", ""),
    (
        {"GITHUB_EVENT_NAME": "schedule", "GITHUB_RUN_NUMBER": "12", "TRUELINE_STATE_MUST_EXIST": "0"},
        "{type: csv}",
        "",
    ),
]


@pytest.mark.parametrize(("variables", "store", "reason"), SURROUNDINGS)
def test_on_a_schedule_a_missing_memory_is_a_lost_one(
    monitor: Monitor, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], store: str, reason: str
) -> None:
    monitor.store(store)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code, told = monitor.run()
    assert (code, reason in told) == (1 if reason else 0, True)


def test_runs_that_leave_no_mark_neither_need_nor_make_a_memory(monitor: Monitor) -> None:
    """`--no-dedup` looks at no memory; what it stores is not taken for one. A dry run says what a run would do."""
    monitor.store("{type: sqlite, must_exist: true}")
    assert monitor.scored("--no-dedup") == 5
    code, told = monitor.run()
    assert code == 1 and "knows no run of this monitor" in told
    monitor.store("{type: csv, must_exist: true, state_path: other.db}")
    assert main(["run", str(monitor.folder / "m.yaml"), "--dry-run"]) == 0
    assert not (monitor.folder / MARKS).exists() and not (monitor.folder / "other.db").exists()


def test_a_dry_run_tells_what_is_lost(monitor: Monitor, capsys: pytest.CaptureFixture[str]) -> None:
    monitor.store("{type: sqlite, must_exist: true}")
    assert main(["run", str(monitor.folder / "m.yaml"), "--dry-run", "--json"]) == 0
    notes = " ".join(json.loads(capsys.readouterr().out)["notes"])
    assert "a run would fail: the state of earlier runs of monitor 'watched' is missing" in notes
    assert not (monitor.folder / "data").exists()


def test_a_store_without_memory_cannot_be_told_to_have_one(monitor: Monitor) -> None:
    monitor.store("{type: none, must_exist: true}")
    code, told = monitor.run()
    assert code == 2 and "m.yaml:5  scored_store.must_exist" in told and "keeps no state of earlier runs" in told
