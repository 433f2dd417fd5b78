"""The command line as a user meets it: real processes, real files, exit codes, and every bad input of the issue."""

from __future__ import annotations

import gzip
import json
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.wiring.project import CONFIG, SCRIPT, Project
from tests.wiring.warm import BOUND


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def cold(tmp_path: Path) -> Project:
    """Whose commands import everything themselves, as a user's do."""
    return Project(tmp_path, cold=True)


def test_a_run_scores_stores_and_shows(cold: Project) -> None:
    """The first thing a user does: one command, a table with intervals, a page, a database; exit code 0."""
    done = cold.run("m.yaml")
    assert done.returncode == 0, done.stderr
    assert "Exact" in done.stdout and "Short" in done.stdout
    assert (cold.folder / "data" / "reports" / "cli.html").read_text().startswith("<!doctype html>")
    assert len(cold.scores()) == 16


def test_a_second_run_says_that_nothing_is_new(project: Project) -> None:
    """An hourly cron finds nothing to do most hours: said in words, exit code 0, nothing scored again."""
    project.run("m.yaml")
    before = project.scores()
    done = project.run("m.yaml")
    assert done.returncode == 0
    assert "nothing new" in done.stdout.lower()
    assert project.scores() == before


def test_a_dry_run_leaves_no_trace(project: Project) -> None:
    """--dry-run says what would happen, and creates neither state nor report."""
    before = sorted(path.name for path in project.folder.iterdir())
    done = project.run("m.yaml", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert "would score 8 items with 2 metrics" in " ".join(done.stdout.split())
    assert sorted(path.name for path in project.folder.iterdir()) == before
    assert project.report()["counts"]["scored"] == 8


def test_json_is_json(project: Project) -> None:
    """--json prints one JSON object on standard output, whatever else is said on standard error."""
    done = project.run("m.yaml", "--json")
    found = json.loads(done.stdout)
    assert found["counts"]["scored"] == 8
    assert {estimate["label"] for estimate in found["estimates"]} == {"Exact", "Short"}


def test_quiet_prints_nothing(cold: Project) -> None:
    """A cron job that goes well sends no mail."""
    done = cold.run("m.yaml", "--quiet")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_quiet_still_says_why_a_run_did_not_end_well(project: Project) -> None:
    """A cron job's mail holds one line: too many failures, or the budget; nothing on standard output."""
    project.write("mine.py", "def nan(item):\n    return float('nan')\n")
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:nan'}\n")
    done = project.run("m.yaml", "--quiet")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == "trueline: Too many failures: 33% of the scores that were tried failed (allowed 20%)\n"


def test_a_run_in_which_one_metric_always_fails_says_so_above_its_table(project: Project) -> None:
    """No item has all its scores, and the table shows those of the other metrics: both are said."""
    project.write("mine.py", "def nan(item):\n    return float('nan')\n")
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:nan'}\n")
    assert "0 items scored, 8 items with failed metrics (8 sampled" in project.run("m.yaml").stdout


def test_no_dedup_scores_anew_and_leaves_no_mark(project: Project) -> None:
    """--no-dedup scores the whole window and does not disturb what is remembered."""
    project.report()
    assert project.report("--no-dedup")["counts"]["scored"] == 8
    assert project.report()["counts"]["scored"] == 0
    assert project.run("m.yaml", "--json", "--quiet", DEDUPLICATE="false").stdout.count('"scored": 8') == 1


def test_limit_is_loud(project: Project) -> None:
    """--limit reads so many records and says what was left out."""
    done = project.run("m.yaml", "--limit", "3")
    assert done.returncode == 0
    assert "limit" in done.stdout
    assert len({item for item, _, _ in project.scores()}) == 3


def test_set_overrides(project: Project) -> None:
    """--set changes one value for one run."""
    found = project.report("--set", "sampling.strategy=random", "--set", "sampling.n=2")
    assert found["counts"]["drawn"] == 2


def test_check_list_and_schema_answer(project: Project) -> None:
    """check explains without writing, list shows what can be chosen, schema is JSON Schema."""
    before = sorted(path.name for path in project.folder.iterdir())
    check = project.run("check", "m.yaml")
    assert check.returncode == 0 and "m.yaml is valid" in check.stdout and "exact_match v1" in check.stdout
    assert json.loads(project.run("check", "m.yaml", "--json").stdout)["valid"] is True
    shown = project.run("list").stdout
    assert all(word in shown for word in ("file", "temporal_decay", "grounding_score", "sqlite", "athena."))
    assert json.loads(project.run("schema").stdout)["$schema"].startswith("https://json-schema.org/")
    assert sorted(path.name for path in project.folder.iterdir()) == before


def test_check_can_ask_the_state_how_far_it_is(project: Project) -> None:
    """It makes and changes nothing, and a state that no run could use fails it."""
    check = ("check", "m.yaml", "--connect")
    assert "trueline.db: is not there yet; the first run makes it" in project.run(*check).stdout
    assert not (project.folder / "data").exists()
    project.report()
    state = project.folder / "data" / "state" / "trueline.db"

    def at(revision: str) -> None:
        with sqlite3.connect(state) as connection:
            connection.execute("update alembic_version set version_num = ?", [revision])
        connection.close()

    done = project.run(*check)
    assert (done.returncode, "its tables are the newest" in done.stdout) == (0, True)
    at("0009")
    before = state.read_bytes()
    assert "of an older version (0009), the next run brings them to" in project.run(*check).stdout
    assert state.read_bytes() == before
    at("9999")
    done = project.run(*check)
    assert (done.returncode, "from a newer version of Trueline (schema '9999'" in done.stderr) == (1, True)
    done = project.run(*check, "--set", "scored_store={type: postgres, url: 'postgresql://u:hidden@127.0.0.1:9/x'}")
    assert (done.returncode, "no server answers there" in done.stderr, "hidden" in done.stderr) == (1, True, False)


def test_the_page_is_part_of_the_run(project: Project) -> None:
    """The time that a run took holds the writing of its page, in its own output and in `runs`."""
    printed = json.loads(project.run("m.yaml", "--json").stdout)
    stored = json.loads(project.run("runs", "m.yaml", "--json").stdout)[0]
    page = project.folder / "data" / "reports" / "cli.html"
    ends = [datetime.fromisoformat(each["finished_at"]) for each in (printed, stored)]
    assert ends[0] == ends[1] >= datetime.fromtimestamp(page.stat().st_mtime, UTC)


def test_the_page_of_a_run_without_memory_stands_beside_the_monitors(project: Project) -> None:
    """Also when it is written again: the monitor's own page stays."""
    project.report()
    project.report("--no-dedup")
    pages = project.folder / "data" / "reports"
    own = (pages / "cli.html").read_bytes()
    (pages / "cli-no-dedup.html").unlink()
    assert project.run("report", "m.yaml").returncode == 0
    assert (pages / "cli-no-dedup.html").is_file()
    assert (pages / "cli.html").read_bytes() == own


def test_the_report_of_a_past_run_can_be_written_again(project: Project) -> None:
    """The page is made of stored records, so it can be made at any time."""
    project.run("m.yaml")
    (project.folder / "data" / "reports" / "cli.html").unlink()
    assert project.run("report", "m.yaml", "--out", "again.html").returncode == 0
    assert "Exact" in (project.folder / "again.html").read_text()
    assert project.run("report", "m.yaml", "--run", "nope").returncode == 2


@pytest.mark.parametrize("logged", [False, True])
def test_what_is_stored_can_be_read_where_nothing_can_be_written(
    project: Project, tmp_path: Path, logged: bool
) -> None:
    """A state on a read-only disk: reports, lists and statistics are made of it, and no file appears beside it."""
    project.write("labels.csv", "item_id,label,value\ni1,Exact,pass\n")
    project.write("m.yaml", CONFIG + "labels: {type: file, path: labels.csv}\n")
    assert project.run("m.yaml").returncode == 0
    state, out = project.folder / "data" / "state", tmp_path / "out"
    out.mkdir()
    other = sqlite3.connect(state / "trueline.db")
    if logged:  # as a copy of a state that a run was at work on: the newest pages are in the log
        other.execute("CREATE TABLE anothers (a)")
    before = sorted(state.iterdir())
    for path in (*state.iterdir(), state):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        told = [
            project.run(*words, **{BOUND: "1"})
            for words in (
                ("report", "m.yaml", "--out", str(out / "page.html")),
                ("judge-report", "m.yaml"),
                ("cache", "stats", "m.yaml"),
                ("runs", "m.yaml"),
                ("explain", "m.yaml", "i1"),
            )
        ]
        assert [(each.returncode, each.stderr) for each in told] == [(0, "")] * 5
        assert "Exact" in (out / "page.html").read_text() and "Exact" in told[1].stdout
        assert sorted(state.iterdir()) == before
        failed = project.run("m.yaml", "--no-dedup", **{BOUND: "1"})
        assert failed.returncode == 1 and "writ" in failed.stderr
    finally:
        state.chmod(0o755)
        other.close()


@pytest.mark.parametrize("arguments", [(), ("nope.yaml",), ("m.yaml", "--nope"), ("m.yaml", "--limit", "0")])
def test_bad_usage_is_exit_code_2(cold: Project, arguments: tuple[str, ...]) -> None:
    """Bad usage is told on standard error, without a traceback."""
    done = cold.run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_wrong_config_is_exit_code_2_before_any_work(project: Project) -> None:
    """A mistake in the YAML stops the run before anything is read or written."""
    project.write("m.yaml", CONFIG.replace("exact_match", "exact_macth"))
    done = project.run("m.yaml")
    assert done.returncode == 2
    assert "m.yaml:4  metrics_config.Exact.class: unknown metric 'exact_macth'" in done.stderr
    assert not (project.folder / "data").exists()


def test_an_empty_file_is_nothing_to_do(project: Project) -> None:
    """An hour without traffic is no failure."""
    project.write("items.jsonl", "")
    done = project.run("m.yaml")
    assert done.returncode == 0 and "empty" in done.stdout


@pytest.mark.parametrize(
    ("path", "says"), [("missing.jsonl", "missing.jsonl"), ("none-*.jsonl", "none-*.jsonl"), (".", "folder")]
)
def test_a_source_that_is_not_there_fails_the_run(project: Project, path: str, says: str) -> None:
    """A missing file, a glob without matches, a folder: exit code 1 with the path, not "nothing to do"."""
    done = project.run("m.yaml", "--set", f"source.path={json.dumps(path)}", "--set", "source.format=jsonl")
    assert done.returncode == 1
    assert says in done.stderr or "director" in done.stderr


def test_a_truncated_gzip_fails_the_run(project: Project) -> None:
    """Half a file is not taken for the whole."""
    whole = gzip.compress((project.folder / "items.jsonl").read_bytes() * 500)
    project.write("items.jsonl.gz", whole[: len(whole) // 2])
    done = project.run("m.yaml", "--set", "source.path=items.jsonl.gz")
    assert done.returncode == 1 and "items.jsonl.gz" in done.stderr
    assert project.run("m.yaml").returncode == 0  # and what is stored afterwards is whole
    assert len(project.scores()) == 16


def test_one_broken_record_costs_one_record(project: Project) -> None:
    """A record that is no object, a broken line: file and line are named, the others are scored."""
    project.items(8, ("[1, 2]", "{broken", '{"id": "x", "nope": 1}'))
    done = project.run("m.yaml")
    assert done.returncode == 0, done.stderr
    assert all(f"items.jsonl:{line}" in done.stdout.replace("\n", "") for line in (9, 10, 11))
    assert len({item for item, _, _ in project.scores()}) == 8


def test_duplicate_ids_are_scored_once(project: Project) -> None:
    """Two records of one id give one row per metric."""
    project.items(8, ('{"id": "i1", "actual_output": "again"}',))
    assert project.report()["counts"]["duplicates"] == 1
    assert len(project.scores()) == 16


def test_a_metric_that_gives_nan_fails_loudly(project: Project) -> None:
    """NaN is a failure of that metric, the other one's scores are kept, exit code 3."""
    project.write("mine.py", "def nan(item):\n    return float('nan')\n")
    project.write("m.yaml", CONFIG + "  Bad: {class: 'mine:nan'}\n")
    done = project.run("m.yaml")
    assert done.returncode == 3
    assert "NotFinite" in done.stdout
    assert len(project.scores()) == 16


def test_a_metric_that_applies_to_no_item_is_a_warning(project: Project) -> None:
    """A mistyped field mapping is seen on the terminal, the page, in --json and in the stored run; the rest counts."""
    project.write("m.yaml", CONFIG.replace("exact_match}", "exact_match, field_mapping: {expected_output: context}}"))
    report = project.run("m.yaml", "--json")
    (note,) = json.loads(report.stdout)["notes"]
    assert report.returncode == 0 and "metric 'Exact' applied to none of 8 item(s)" in note
    assert "context" in note
    page = (project.folder / "data" / "reports" / "cli.html").read_text()
    shown = project.run("runs", "m.yaml", "show").stdout
    assert all("applied to none of 8 item(s)" in " ".join(each.split()) for each in (page, shown))


def test_a_run_in_which_no_metric_applies_fails(project: Project) -> None:
    """Items that all have no score are not "done": exit code 1, and the reason first."""
    only = CONFIG.replace("exact_match}", "exact_match, field_mapping: {expected_output: context}}")
    only = only.replace("  Short: {class: length, max_chars: 20}\n", "")
    project.write("m.yaml", only)
    for command in (("--no-dedup",), ()):
        done = project.run("m.yaml", *command)
        assert done.returncode == 1, command
        assert "Failed" in done.stdout
        assert "no metric applies to 8 of 8 items (100%" in " ".join(done.stdout.split())
    quiet = project.run("m.yaml", "--quiet", "--no-dedup")
    assert "no metric applies to 8 of 8 items" in quiet.stderr
    project.write("m.yaml", only + "evaluation: {max_not_applicable_share: null}\n")
    assert project.run("m.yaml", "--no-dedup").returncode == 0


def test_a_share_of_items_without_any_score_fails_the_run(project: Project) -> None:
    """The share can be set; at the limit the run is well."""
    project.items(8, ('{"id": "x", "actual_output": "a"}', '{"id": "y", "actual_output": "a"}'))
    project.write("m.yaml", CONFIG.replace("  Short: {class: length, max_chars: 20}\n", ""))
    share = "evaluation.max_not_applicable_share="
    assert project.run("m.yaml", "--no-dedup", "--set", f"{share}0.2").returncode == 0
    done = project.run("m.yaml", "--no-dedup", "--set", f"{share}0.1")
    assert done.returncode == 1 and "no metric applies to 2 of 10 items" in done.stdout


def test_a_corrupt_csv_is_refused(project: Project) -> None:
    """A damaged memory stops the run; it never scores everything again in silence."""
    csv = project.write("scored.csv", "item_id,source_key,monitor_key,scored_at\ni1,file:cli\n")
    done = project.run("m.yaml", "--set", "scored_store.type=csv", "--set", "scored_store.file_path=scored.csv")
    assert done.returncode == 1
    assert "scored.csv:2" in done.stderr
    assert csv.read_text().endswith("i1,file:cli\n")


def test_a_database_that_is_none_is_refused(project: Project) -> None:
    """A file that is no database is named and left as it is."""
    path = project.write("data/state/trueline.db", "hello, this is not a database at all, sorry" * 100)
    done = project.run("m.yaml")
    assert done.returncode == 1 and "trueline.db" in done.stderr
    assert path.read_text().startswith("hello")


def test_a_database_of_zero_bytes_is_refused(project: Project) -> None:
    """A state file that was cut to nothing is lost state, not a new one: nothing is scored again in silence."""
    project.report()
    path = project.write("data/state/trueline.db", "")
    for command in (("m.yaml",), ("check", "m.yaml", "--connect"), ("runs", "m.yaml")):
        done = project.run(*command)
        assert done.returncode == 1, command
        assert "trueline.db: the database file is there and has zero bytes" in done.stdout + done.stderr
    assert path.read_bytes() == b""
    path.unlink()
    assert project.report("--first-run")["counts"]["scored"] == 8


def test_a_full_disk_is_said_and_loses_nothing(project: Project) -> None:
    """When the state cannot grow, the run fails with the path, and the next one finishes the work."""
    project.items(400)
    limited = ["bash", "-c", f"ulimit -f 200; exec {sys.executable} {SCRIPT} m.yaml"]  # files of 200 KB at most
    done = subprocess.run(limited, cwd=project.folder, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "trueline.db" in done.stderr and "Traceback" not in done.stderr
    assert project.run("m.yaml").returncode == 0
    assert len(project.scores()) == 800


def test_two_runs_at_once_score_each_item_once(project: Project) -> None:
    """Two overlapping cron jobs end with one score per item and metric."""
    project.items(300)
    both = [subprocess.Popen(project.command("m.yaml", "--quiet"), cwd=project.folder) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    rows = project.scores()
    assert len(rows) == 600


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_keeps_what_is_done(project: Project, sent: signal.Signals, code: int) -> None:
    """Ctrl-C ends with 130 and keeps the finished scores; the next run scores only the rest."""
    project.write("mine.py", "import asyncio\n\nasync def slow(item):\n    await asyncio.sleep(0.05)\n    return 1.0\n")
    project.write("m.yaml", CONFIG + "  Slow: {class: 'mine:slow'}\nevaluation: {max_concurrent: 2}\n")
    project.items(300)
    running = subprocess.Popen(project.command("m.yaml"), cwd=project.folder, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _scoring(project):
        time.sleep(0.05)
    time.sleep(1.0)
    running.send_signal(sent)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == code, errors
    assert "is kept" in errors and "Traceback" not in errors
    kept = len({item for item, _, _ in project.scores()})
    assert 0 < kept < 300
    done = project.run("m.yaml", "--json", "--quiet", "--set", "evaluation.max_concurrent=50")
    assert json.loads(done.stdout)["counts"]["scored"] == 300 - kept
    assert len(project.scores()) == 900


def _scoring(project: Project) -> bool:
    """Whether the run has stored its draw."""
    try:
        with sqlite3.connect(project.folder / "data" / "state" / "trueline.db") as connection:
            return bool(connection.execute("select count(*) from decisions").fetchone()[0])
    except sqlite3.Error:
        return False


def test_a_config_is_found_from_anywhere(project: Project) -> None:
    """A cron job may start in any folder: relative paths start from the configuration's project."""
    done = subprocess.run(
        project.command(str(project.folder / "m.yaml"), "--quiet"), cwd="/", capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(project.scores()) == 16


def test_a_seed_samples_the_same_items_in_any_order(project: Project) -> None:
    """The lines of a file in another order, with the same seed, are the same sample."""
    project.items(60)
    lines = project.write("other.jsonl", "").with_name("items.jsonl").read_text().splitlines()
    project.write("other.jsonl", "\n".join(lines[::-1]) + "\n")
    for strategy in ("random", "stratified", "uncertainty"):
        drawn = []
        for path in ("items.jsonl", "other.jsonl"):
            field = "field: metadata.none, " if strategy == "stratified" else ""
            rule = f"sampling: {{strategy: {strategy}, {field}n: 20, seed: 7}}\n"
            project.write("m.yaml", CONFIG.replace("items.jsonl", path) + rule)
            project.report("--set", f"scored_store.file_path={strategy}-{path}.db")
            with closing(sqlite3.connect(project.folder / f"{strategy}-{path}.db")) as state:
                drawn.append({row[0] for row in state.execute("select item_id from scores")})
        assert drawn[0] == drawn[1] and 0 < len(drawn[0]) < 60
