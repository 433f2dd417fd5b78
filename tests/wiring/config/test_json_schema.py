"""The JSON Schema that editors use says what the code says."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
import yaml

from shared.wiring.build.json_schema import config_schema
from shared.wiring.config.find_config import known_configs
from shared.wiring.config.registries import build_registries


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = config_schema(build_registries())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def good() -> dict[str, Any]:
    return {
        "name": "x",
        "source": {"type": "file", "path": "a.jsonl", "window": "all"},
        "sampling": {"strategy": "random", "n": 5},
        "metrics_config": {"Exact": {"class": "exact_match"}, "Mine": {"class": "my.module:metric", "any": 1}},
    }


@pytest.mark.parametrize("name", sorted(known_configs()))
def test_shipped_configs_fit_the_schema(validator: jsonschema.Draft202012Validator, name: str) -> None:
    """An editor shows no false mistake in what we ship."""
    assert list(validator.iter_errors(yaml.safe_load(known_configs()[name].read_text()))) == []


def test_a_plain_config_with_variables_fits(validator: jsonschema.Draft202012Validator) -> None:
    """Dotted paths, and variables where numbers stand, are no mistakes."""
    config = good()
    config["sampling"]["n"] = "${N:-5}"
    assert list(validator.iter_errors(config)) == []


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("source", "windwo", "all"),
        ("source", "type", "fiel"),
        ("sampling", "n", "ten"),
        ("sampling", "m", 5),
        ("metrics_config", "Exact", {"class": "exact_match", "ignore_cas": True}),
        ("metrics_config", "Exact", {"class": "exact_macth"}),
        ("metrics_config", "Exact", {}),
    ],
)
def test_mistakes_are_shown_in_the_editor(
    validator: jsonschema.Draft202012Validator, part: str, key: str, value: object
) -> None:
    """What the run would refuse is underlined while it is typed."""
    config = good()
    config[part][key] = value
    assert list(validator.iter_errors(config))
