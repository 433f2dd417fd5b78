"""Settings in layers, and which application a configuration belongs to."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.wiring.config.env_settings import application_of, read_environment
from shared.wiring.serve.prompt_service import langfuse_settings, prompt_manager
from shared.wiring.serve.webhook_settings import WebhookSettings, webhook_settings
from tests.wiring.project import Project


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


EMPTY = dict.fromkeys(
    [
        *("ENVIRONMENT", "DEDUPLICATE", "SAFE_MODE", "PRIVACY_KEY", "TRUELINE_STATE_MUST_EXIST", "TRUELINE_STATE"),
        *("LANGFUSE_BASE_URL", "LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY", "DATABASE_URL"),
        *("LANGFUSE_DEFAULT_LABEL", "LANGFUSE_DEFAULT_CACHE_TTL_SECONDS", "LANGFUSE_PROMPT_CHECK_SECONDS"),
        *("LANGFUSE_REQUEST_TIMEOUT_SECONDS", "LANGFUSE_PROMPT_POLL_SECONDS"),
        *("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_HEADERS"),
        *("OTEL_EXPORTER_OTLP_COMPRESSION", "OTEL_EXPORTER_OTLP_CERTIFICATE", "OTEL_SERVICE_NAME"),
        *("GITHUB_EVENT_NAME", "GITHUB_RUN_NUMBER", "NO_COLOR", "TERM", "COLUMNS"),
    ],
    "",
)


def test_an_empty_variable_counts_as_not_set(tmp_path: Path) -> None:
    """A scheduled workflow gives every input as an empty variable; no setting is refused or changed by one."""
    project = Project(tmp_path)
    publishing = "publishing: {opentelemetry: {endpoint: 'http://127.0.0.1:9'}}\n"
    project.write("otel.yaml", (tmp_path / "m.yaml").read_text() + publishing)
    checked = project.run("check", "otel.yaml", **EMPTY)
    assert checked.returncode == 0, checked.stderr
    assert project.run("m.yaml", **EMPTY).returncode == 0
    assert len(project.scores()) == 16


def test_an_empty_variable_hides_no_value_of_a_file(tmp_path: Path) -> None:
    """What `.env` says holds where the environment says nothing."""
    root = project(tmp_path)
    found = read_environment(root / "configs" / "bot_chat.yaml", {"ENVIRONMENT": "", "C": "", "NEW": ""})
    assert found.settings.environment == "staging"
    assert (found.variables["C"], found.variables["NEW"]) == ("app", "")


def test_an_empty_variable_leaves_the_defaults_of_what_is_served(tmp_path: Path) -> None:
    """Prompts and webhook, which have settings of their own."""
    keys = {"LANGFUSE_HOST": "http://127.0.0.1:9", "LANGFUSE_PUBLIC_KEY": "pk", "LANGFUSE_SECRET_KEY": "sk"}
    assert langfuse_settings(EMPTY | keys) == langfuse_settings(keys)
    prompt_manager(EMPTY | keys | {"TRUELINE_STATE": str(tmp_path / "s.db")})
    fields = WebhookSettings.model_fields.values()
    names = [str(field.validation_alias) for field in fields]
    secret = {"LANGFUSE_WEBHOOK_SECRET": "lf-whsec_0123456789"}
    assert webhook_settings(dict.fromkeys(names, "") | secret) == webhook_settings(secret)
