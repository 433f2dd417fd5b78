"""Trueline as another project has it: the wheel, installed into an environment where this checkout is not found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BOT = '''"""The bot's application."""

from trueline import DatasetItem, Score, Skip, metric


@metric(version="1", needs=("actual_output",), threshold=1.0)
def polite(item: DatasetItem) -> Score:
    """1 when the answer says please."""
    said = "please" in (item.actual_output or "")
    return Score(float(said), "" if said else "no please")


def reply(record: dict) -> DatasetItem:
    """One reply of the bot."""
    if record["kind"] != "reply":
        raise Skip("no reply")
    return DatasetItem(id=record["key"], actual_output=record["text"])


METRICS = (polite,)
EXTRACTORS = {"reply": reply}
'''
CONFIG = """\
name: replies
source: {type: file, path: replies.jsonl, window: all, extractor: bot.reply}
metrics_config: {Polite: {class: bot.polite}, Short: {class: length, max_chars: 40}}
"""
RECORDS = [
    {"key": "1", "kind": "reply", "text": "please wait"},
    {"key": "2", "kind": "reply", "text": "wait"},
    {"key": "3", "kind": "event", "text": ""},
]
ACME = {
    "pyproject.toml": """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "acme-monitoring"
version = "1"

[project.entry-points."trueline.applications"]
acme = "acme.monitoring"

[tool.hatch.build.targets.wheel]
packages = ["acme"]
""",
    "acme/__init__.py": "",
    "acme/monitoring/__init__.py": BOT.replace("bot", "acme").replace("polite", "kind"),
    "acme/monitoring/config/acme_replies.yaml": CONFIG.replace("bot.", "acme.").replace("polite", "kind"),
}


def write(folder: Path, files: dict[str, str]) -> Path:
    """Write the files into a folder, and return it."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def bot_project(folder: Path) -> Path:
    """A project that monitors its own bot: an application, two configurations and data."""
    return write(
        folder,
        {
            "pyproject.toml": "",
            "src/implementations/bot/__init__.py": BOT,
            "src/implementations/bot/config/bot_daily.yaml": CONFIG.replace("name: replies", "name: daily"),
            "configs/replies.yaml": CONFIG,
            "replies.jsonl": "".join(json.dumps(record) + "\n" for record in RECORDS),
        },
    )


class Environment:
    """A virtual environment without this checkout. It sees the packages of the one that runs the tests, but for
    Trueline: what `.pth` files there add is not added.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"

    def install(self, wheel: Path) -> None:
        """Install a wheel alone."""
        pip = [sys.executable if find_spec("pip") else sys._base_executable, "-m", "pip", "--python", str(self.python)]  # type: ignore[attr-defined]  # CPython has it
        done(*pip, "install", "--quiet", "--no-deps", "--no-index", "--disable-pip-version-check", str(wheel))

    def see_dependencies(self) -> None:
        """Make what Trueline depends on importable."""
        spec = find_spec("pydantic")
        assert spec is not None and spec.origin is not None
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        target = self.folder / "lib" / version / "site-packages" / "dependencies.pth"
        target.write_text(str(Path(spec.origin).parents[1]))

    def run(self, folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """A command of the environment's (`trueline`, `python`), run to its end in a folder."""
        bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        given = {**bare, "PYTHONUTF8": "1", "NO_COLOR": "1", **environment}
        program = [str(self.folder / "bin" / command[0]), *command[1:]]
        return subprocess.run(program, cwd=folder, env=given, capture_output=True, text=True, timeout=120)


def build_wheel(project: Path, folder: Path) -> Path:
    """The wheel of a project, built as `make wheel` does."""
    done(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder), cwd=project)
    return next(folder.glob("*.whl"))


def done(*command: str, cwd: Path | None = None) -> None:
    """Run a command that must succeed."""
    ended = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
