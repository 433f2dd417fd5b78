"""Which folder is the project, and that no history is lost when the answer changes."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from shared.wiring.config.project_root import project_root
from tests.wiring.project import CONFIG, ran

APP = "p/src/implementations/bot"


def tree(top: Path, *files: str) -> None:
    """Empty files, with the folders that they lie in."""
    for name in files:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).touch()


@pytest.mark.parametrize(
    ("files", "start", "root"),
    [
        (["p/pyproject.toml", f"{APP}/.env"], f"{APP}/config", "p"),
        (["p/pyproject.toml", f"{APP}/pyproject.toml", f"{APP}/.git"], f"{APP}/config", "p"),
        (["p/configs/m.yaml", f"{APP}/.env"], f"{APP}/config", "p"),
        (["p/.env", f"{APP}/.env"], f"{APP}/config", "p"),
        ([f"{APP}/.env"], f"{APP}/config", "p"),
        ([f"{APP}/.trueline"], APP, "p"),
        (["p/pyproject.toml", "p/configs/m.yaml", "p/configs/.env"], "p/configs", "p"),
        (["p/pyproject.toml", "p/part/pyproject.toml"], "p/part/configs", "p"),
        (["p/pyproject.toml", "p/part/pyproject.toml", "p/part/.git"], "p/part/configs", "p/part"),
        (["p/pyproject.toml", "p/part/pyproject.toml", "p/part/.trueline"], "p/part/configs", "p/part"),
        (["p/.trueline", "p/part/pyproject.toml", "p/part/.git"], "p/part/configs", "p"),
        (["p/.trueline", "p/part/.trueline"], "p/part/configs", "p"),
        (["p/plain/.env", "p/configs/notes.txt"], "p/plain", "p/plain"),  # no configuration in there
        (["p/plain/.env"], "p/plain", "p/plain"),
        (["p/plain/.env"], "p/plain/deep/down", "p/plain"),
        (["p/.git/config", "p/plain/x"], "p/plain", "p"),
        (["p/plain/x"], "p/plain", "else"),
    ],
)
def test_the_root_is_what_marks_a_project(tmp_path: Path, files: list[str], start: str, root: str) -> None:
    """Never an application's own files; the outermost project; a marker file decides; a plain folder stays one."""
    tree(tmp_path, *files)
    assert project_root(tmp_path / start, tmp_path / "else") == tmp_path / root


def test_a_stray_file_in_the_home_directory_is_no_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would take in everything that a user has."""
    monkeypatch.setenv("HOME", str(tmp_path))
    tree(tmp_path, "pyproject.toml", "p/pyproject.toml")
    assert project_root(tmp_path / "p", tmp_path) == tmp_path / "p"


class Application:
    """A project with one application, which has a configuration in its own folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "src" / "implementations" / "bot"
        tree(folder, "pyproject.toml", "src/implementations/bot/__init__.py")
        (folder / ".env").write_text("ITEMS=items.jsonl\nENVIRONMENT=root\n")
        self.config = self.home / "config" / "bot.yaml"
        self.config.parent.mkdir()
        self.items(folder)

    def items(self, folder: Path) -> None:
        rows = [{"id": f"i{n}", "actual_output": "a", "expected_output": "a"} for n in range(8)]
        (folder / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(self, store: str = "") -> tuple[int, int, str]:
        """A run: its exit code, how many items were scored, and its notes."""
        self.config.write_text(CONFIG.replace("items.jsonl", '"${ITEMS}"') + store)
        done = ran(self.folder, str(self.config), "--json", "--quiet")
        report = json.loads(done.stdout or "{}")
        return done.returncode, report.get("counts", {}).get("scored", -1), f"{report.get('notes')}{done.stderr}"

    def as_before(self, store: str = "") -> None:
        """Runs as an earlier version did: with the application's folder as the project."""
        self.items(self.home)
        (self.home / ".env").write_text("ITEMS=items.jsonl\n")
        self.config.write_text(CONFIG + store)
        plain = self.folder.parent / "moved"
        self.home.rename(plain)  # out of the project, where its `.env` still makes it one
        done = ran(plain, str(plain / "config" / "bot.yaml"), "--quiet")
        assert done.returncode == 0, done.stderr
        plain.rename(self.home)


def test_an_applications_env_does_not_move_the_project(tmp_path: Path) -> None:
    """It is a layer of settings: the root's is read as well, and the state stays where it is."""
    project = Application(tmp_path / "p")
    assert project.run()[:2] == (0, 8)
    (project.home / ".env").write_text("ENVIRONMENT=bot\n")
    code, scored, notes = project.run()
    assert (code, scored) == (0, 0), notes
    assert not (project.home / "data").exists()
    with sqlite3.connect(project.folder / "data" / "state" / "trueline.db") as connection:
        assert [row[0] for row in connection.execute("select environment from runs order by started_at")] == [
            "root",
            "bot",
        ]


@pytest.mark.parametrize("store", ["", "scored_store: {type: csv}\n"])
def test_a_history_goes_on_where_an_earlier_version_began_it(tmp_path: Path, store: str) -> None:
    """Nothing is scored again, in every further run, and each says where the state is and what to do."""
    project = Application(tmp_path / "p")
    project.as_before(store)
    for _ in range(2):
        code, scored, notes = project.run(store)
        assert (code, scored) == (0, 0), notes
        assert str(project.home / "data" / "state" / "trueline.db") in notes and "To move it" in notes
    (project.home / "data").rename(project.folder / "data")
    code, scored, notes = project.run(store)
    assert (code, scored) == (0, 0) and "To move it" not in notes


def test_a_monitor_without_history_there_starts_at_the_root(tmp_path: Path) -> None:
    """Only what was begun in the old place goes on there."""
    project = Application(tmp_path / "p")
    project.as_before()
    done = ran(project.folder, str(project.config), "--quiet", "--set", "name=other")
    assert done.returncode == 0 and (project.folder / "data" / "state" / "trueline.db").exists(), done.stderr
    assert project.run()[1] == 0


def test_a_history_at_the_root_comes_first(tmp_path: Path) -> None:
    """Who has gone on at the root since is not sent back."""
    project = Application(tmp_path / "p")
    assert project.run()[:2] == (0, 8)
    project.as_before()
    code, scored, notes = project.run()
    assert (code, scored) == (0, 0) and "To move it" not in notes
