"""The gate that hides secrets: patterns of vendors, settings by their names, configured values in every spelling."""

from __future__ import annotations

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

import pytest

from shared.privacy.redaction import Redactor
from shared.privacy.secret_gate import SecretGate
from shared.privacy.secret_settings import secrets_of_config, secrets_of_variables

GATE = SecretGate()
KEYS = (
    "hf_AbCdEfGhIjKlMnOpQrStUvWx", "github_pat_11ABCDEFG0abcdefghijkl", "glpat-abcDEF123456ghiJKL78",
    "AIzaSyA1234567890abcdefghijklmnopqrstuv", "whsec_abcdefgh12345678ijkl",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl", "pypi-AgEIcHlwaS5vcmcCJDEyMzQ1Njc4OTAabcd",
    "npm_abcdefghijklmnopqrstuvwxyz0123456789", "sk-abcdefghijklmnop", "xoxb-123456789012-abcdefghijkl",
    "gsk_AbCdEfGhIjKlMnOpQrStUvWxYz012345", "xai-AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "pplx-AbCdEfGhIjKlMnOpQrStUvWxYz012345", "nvapi-AbCdEfGhIjKlMnOpQrStUvWxYz012345",
    "r8_AbCdEfGhIjKlMnOpQrStUvWxYz012345", "csk-abcdefghijklmnopqrstuvwxyz012345",
)  # fmt: skip
SECRET = 'pass"w\\rd\n+/é&x'


@pytest.mark.parametrize("key", KEYS)
def test_every_form_of_key_is_hidden_in_every_kind_of_text(key: str) -> None:
    """The Redactor and the gate go by one list, in messages, ordinary texts, configurations and output."""
    for hide in (GATE.redact, GATE.redact_message, GATE.redact_yaml, GATE.redact_output, Redactor().redact):
        assert hide(f"refused: {key}, try again") == "refused: [KEY], try again"


@pytest.mark.parametrize(
    "spelling",
    [
        SECRET,
        repr(SECRET),
        repr(SECRET.encode()),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        json.dumps({"error": repr(SECRET)}),
        quote(SECRET),
        quote_plus(SECRET),
        re.sub("%[0-9A-F]{2}", lambda code: code[0].lower(), quote(SECRET, safe="")),
        html.escape(SECRET),
        base64.b64encode(SECRET.encode()).decode(),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
        *(base64.b64encode(f"{user}:{SECRET}".encode()).decode() for user in ("u", "us", "use", "")),
        *(base64.urlsafe_b64encode(f"{user}:{SECRET}:more".encode()).decode() for user in ("u", "us", "use")),
    ],
)
def test_a_configured_secret_is_hidden_in_every_spelling(spelling: str) -> None:
    """As it is, as Python, JSON and HTML escape it, as a part of a URL, and in Base64 beside anything."""
    gate = SecretGate([SECRET])
    for hide in (gate.redact, gate.redact_message, gate.redact_output):
        hidden = hide(f"a {spelling} z")
        assert "[KEY]" in hidden and hidden.startswith("a ") and hidden.endswith(" z")
        assert "w\\" not in hidden and "rd" not in hidden and spelling not in hidden


def test_addresses_that_are_keys_are_hidden() -> None:
    """Whoever has a Slack webhook's address may write, and a token may stand in a URL without a user."""
    hook = "https://hooks.slack.com/services/T0123456/B0123456/AbCdEfGhIjKlMnOpQrStUvWx"
    assert GATE.redact(f"POST {hook} failed") == "POST https://hooks.slack.com/services/[KEY] failed"
    assert GATE.redact("clone https://0123456789abcdef01@host/x") == "clone https://[KEY]@host/x"
    assert GATE.redact("see https://host/a/some.long.user.name@host") == "see https://host/a/some.long.user.name@host"


def test_a_secret_with_line_ends_is_hidden_without_them() -> None:
    """A key that is read from a file ends in a line end, and is sent without it."""
    gate = SecretGate(["  my-own-secret\r\n"])
    assert gate.redact("found my-own-secret.") == "found [KEY]."
    assert gate.redact(repr(b"Bearer   my-own-secret\r\n")) == "b'Bearer [KEY]'"


def test_what_is_configured_as_a_secret_is_known() -> None:
    """By the name of a setting, in headers, in the password of a URL or a connection string, in the environment."""
    config = {
        "models": {"judge": {"api_key": "first-secret", "headers": {"X-Auth": "Bearer second-secret"}}},
        "database": "postgresql://me:third%2Fsecret@host/db",
        "dsn": "host=h password=fourth-secret",
        "metric": {"key": "total", "stop_token": "closing", "api_key": "ollama", "n": 5},
    }
    gate = SecretGate(secrets_of_config(config))
    gate.add(secrets_of_variables({"MY_TOKEN": "fifth-secret-5", "A_KEY": "word", "PATH": "/usr/bin"}))
    for secret in (
        "first-secret",
        "second-secret",
        "third%2Fsecret",
        "third/secret",
        "fourth-secret",
        "fifth-secret-5",
    ):
        assert gate.redact(f"it was {secret}") == "it was [KEY]"
    assert gate.redact("total closing ollama word /usr/bin me") == "total closing ollama word /usr/bin me"


@pytest.mark.parametrize(
    "text",
    [
        "The answer names the key point: the refund takes 5 days, with token counts of 1,200.",
        "item V1StGXR8_Z5jdHi6B-myT scored 0.5",
        "digest 5f4dcc3b5aa765d61d8327deb882cf99aabbccdd, id 6f1c2d3e-0000-4000-8000-123456789abc",
        "The secret: be kind. Password resets are described in section 4.2.",
    ],
)
def test_ordinary_texts_stay_as_they_are(text: str) -> None:
    """What people and models write is not touched, nor ids that look like chance."""
    assert GATE.redact(text) == text and GATE.redact_output(text) == text


def test_hiding_twice_changes_nothing_more() -> None:
    """Texts pass the gate when they are stored and again when they are shown."""
    text = "api_key: abc, password='hunter2', Bearer abcdefgh1234, https://u:pw@h, headers: {A: b}, {'token': 'x'}"
    for hide in (GATE.redact, GATE.redact_message, GATE.redact_yaml, GATE.redact_output):
        assert hide(hide(text)) == hide(text)


def test_json_stays_json() -> None:
    """What was laid out as JSON can be read after its secrets are gone."""
    gate = SecretGate([SECRET])
    token = base64.b64encode(SECRET.encode()).decode()
    text = json.dumps({"a": f"x\n{token}", "b": [SECRET, KEYS[0], repr(SECRET)]})
    assert "rd" not in json.loads(gate.redact_output(text))["b"][0]


@pytest.mark.parametrize(
    "text",
    ["api_key: hunter2hunter2", '"api-key" : "hunter2"', "postgresql://me:hunter2@db/x", "PASSWORD=hunter2;x=1",
     "Authorization: Bearer hunter2.hunter2", "https://h/?token=hunter2&x=1", "{'client_secret': 'hunter2'}",
     "models: {headers: {X-Auth: hunter2, B: 'x'}, model: small}",
     "postgresql://me:hunter2@hunter2@db/x", "redis://:hunter2@h", "aws_secret_access_key = hunter2"],
)  # fmt: skip
def test_secrets_are_hidden_in_a_line(text: str) -> None:
    """Passwords in URLs and values after a secret's name are gone, the name stays."""
    assert "hunter2" not in GATE.redact_message(text)


@pytest.mark.parametrize(
    "text", ["max_tokens: 256", "monitor_key: desk", "key: ${API_KEY}", "the key was lost", "a: b"]
)
def test_what_is_no_secret_stays(text: str) -> None:
    """Hiding leaves alone what only looks like a secret."""
    assert GATE.redact_yaml(text) == text


def test_secrets_over_several_lines_are_hidden() -> None:
    """What is indented below a secret's name belongs to it; what follows does not."""
    assert "hunter2" not in GATE.redact_yaml("headers:\n  X-Auth: hunter2\n") and GATE.redact_yaml("a: 1\n") == "a: 1\n"
    first = "a:\n  token: >\n    hunter2\n\n    hunter2\n  b: 1\npasswords:\n- hunter2\nc: 2\n"
    hidden = GATE.redact_yaml(f"{first}key: hunter2\n- api_key: hunter2\n  d: 3\ntoken: hunter2 # hunter2\n")
    assert "hunter2" not in hidden
    assert "  b: 1" in hidden and "c: 2" in hidden and "  d: 3" in hidden


def test_patterns_are_not_slowed_down_by_hostile_text() -> None:
    """A long run of letters, keys or spaces is read once, not once per letter: this ends."""
    for piece in ("A", "key", "key ", "a:", "://", "a://b:", "- ", "token:", "monitor_key:", '"'):
        GATE.redact_yaml(piece * 30_000)
