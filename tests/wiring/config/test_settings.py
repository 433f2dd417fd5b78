"""Settings in layers, and which application a configuration belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.wiring.config.settings import application_of, read_environment


def project(tmp_path: Path) -> Path:
    app = tmp_path / "src" / "implementations" / "bot"
    app.mkdir(parents=True)
    (app / "__init__.py").write_text("")
    (tmp_path / "configs").mkdir()
    (tmp_path / ".env").write_text("A=root\nB=root\nC=root\nENVIRONMENT=staging\n")
    (app / ".env").write_text("B=app\nC=app\n")
    return tmp_path


def test_later_layers_win(tmp_path: Path) -> None:
    """Root .env, then the application's .env, then the environment."""
    root = project(tmp_path)
    found = read_environment(root / "configs" / "bot_chat.yaml", {"C": "env"})
    assert (found.variables["A"], found.variables["B"], found.variables["C"]) == ("root", "app", "env")
    assert found.root == root


def test_another_applications_env_is_not_read(tmp_path: Path) -> None:
    """One deployment's secrets do not reach another's monitor."""
    root = project(tmp_path)
    assert read_environment(root / "configs" / "other.yaml", {}).variables["B"] == "root"


def test_settings_come_from_the_same_layers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENVIRONMENT and DEDUPLICATE are understood from .env and from the environment alike."""
    root = project(tmp_path)
    monkeypatch.setenv("DEDUPLICATE", "no")
    monkeypatch.delenv("ENVIRONMENT", raising=False)
    found = read_environment(root / "configs" / "bot_chat.yaml").settings
    assert found.environment == "staging"
    assert found.deduplicate is False


def test_a_setting_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    """A typo in DEDUPLICATE is an error, not a default."""
    with pytest.raises(ConfigError, match="setting DEDUPLICATE: found 'maybe'"):
        read_environment(project(tmp_path) / "configs" / "x.yaml", {"DEDUPLICATE": "maybe"})


def test_the_application_is_told_by_folder_or_name(tmp_path: Path) -> None:
    """A config in the application's folder, or named after it, gets the application's .env."""
    root = project(tmp_path)
    assert application_of(root / "src" / "implementations" / "bot" / "config" / "x.yaml", root) == "bot"
    assert application_of(root / "configs" / "bot.yaml", root) == "bot"
    assert application_of(root / "configs" / "bottle.yaml", root) is None
