"""Parameters of metrics are checked when the YAML is read: place, what was found, what was expected."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from tests.wiring.config.test_config_errors import made

BASE = """\
name: parameters
source: {type: file, path: items.jsonl, window: all}
metrics_config:
  It: {class: %s, %s}
"""

WRONG = [
    ("regex_match", "pattern: '(['", r"It.pattern: found '\(\[', which is no regular expression"),
    ("regex_match", "ignore_case: true", r"'pattern' is missing; expected a string"),
    ("regex_match", "pattern: a, max_seconds: 0", "greater than 0"),
    ("keyword_presence", "keywords: []", r"at least one word or phrase"),
    ("keyword_presence", "keywords: [a, ' ']", "none of them blank"),
    ("keyword_absence", "keywords: fire", "expected a list"),
    ("format_schema", "json_schema: {type: objekt}", r"no JSON schema: at \$.type: 'objekt' is not valid"),
    ("format_schema", "json_schema: {properties: {a: {$ref: 'other.json'}}}", r"found the reference 'other.json'"),
    ("format_schema", "json_schema: [1]", "expected a mapping"),
    ("format_json", "kind: list", "'any', 'object' or 'array'"),
    ("format_length", "min_tokens: -1", "greater than or equal to 0"),
    ("language", "expected: klingon", r"found 'klingon'; expected the code"),
    ("language", "expected_from: metadta.language", r"found 'metadta.language'.*Did you mean 'metadata'"),
    ("language", "expected_from: metadata..language", r"a dotted path into one"),
    ("language", "languages: [en]", "at least two languages"),
    ("language", "min_confidence: 1.5", "less than or equal to 1"),
    ("pii_presence", "kinds: [PASSPORT]", "'EMAIL'"),
    ("pii_presence", "regions: [germany]", r"two capital letters such as 'US', found 'germany'"),
    ("delta_surprise", "model: nobody", r"unknown model 'nobody'"),
    ("delta_surprise", "previous: x.y", r"found 'x.y'; expected a field of an item"),
    ("delta_surprise", "over: word", "'token' or 'answer'"),
]


@pytest.mark.parametrize(("name", "params", "says"), WRONG)
def test_a_parameter_that_cannot_be_stops_the_run(tmp_path: Path, name: str, params: str, says: str) -> None:
    """Before any work, with the line."""
    with pytest.raises(ConfigError, match=says) as caught:
        made(tmp_path, BASE % (name, params))
    assert "m.yaml:4  metrics_config.It" in str(caught.value)


RIGHT = [
    ("regex_match", "pattern: '(?r)\\d{4}'"),
    ("keyword_presence", "keywords: [a, b c]"),
    ("format_schema", "json_schema: {$defs: {x: {type: string}}, items: {$ref: '#/$defs/x'}}, fenced: true"),
    ("format_length", "max_tokens: 100, count_by: model"),
    ("language", "expected: pt-BR, languages: [en, pt]"),
    ("language", "expected_from: metadata.language"),
    ("pii_presence", "kinds: [EMAIL], allow: ['*@shop.example']"),
    ("refusal", "threshold: 0.5"),
    ("delta_surprise", "previous: additional_output.before"),
]


@pytest.mark.parametrize(("name", "params"), RIGHT)
def test_a_parameter_that_can_be_is_taken(tmp_path: Path, name: str, params: str) -> None:
    """As the docs write it."""
    assert [each.label for each in made(tmp_path, BASE % (name, params)).metrics] == ["It"]
