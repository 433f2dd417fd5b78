"""Deliveries of the webhook: which are taken, and what they tell."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.http.verify_signature import Forged, sign, verify
from shared.langfuse.receiver.prompt_event import PromptEvent, Unreadable, parse_prompt_event
from tests.langfuse.fake_server.server import run_fake_langfuse
from tests.langfuse.fake_server.webhooks import SECRET, sign_as_langfuse
from tests.langfuse.fake_server.wire import START

NOW = int(START.timestamp())
BODY = b'{"id":"d1","type":"prompt-version","action":"updated","prompt":{"name":"p","version":2}}'
HEADER = sign_as_langfuse(SECRET, BODY, NOW)


def test_real_deliveries_are_taken_and_understood() -> None:
    taken: list[PromptEvent | None] = []

    def receive(_: str, body: bytes, headers: Mapping[str, str]) -> int:
        verify(SECRET, headers["x-langfuse-signature"], body, NOW + 40)
        taken.append(parse_prompt_event(body))
        return 200

    with run_fake_langfuse() as server:
        server.webhooks.url, server.webhooks.send = "http://127.0.0.1", receive
        prompt = {"name": "movie/crïtic", "version": 1, "prompt": [{"role": "user", "content": "x"}]}
        server.webhooks("created", prompt)
        delivery = server.webhooks.deliveries[0]
    assert taken == [PromptEvent(delivery.id, "created", "movie/crïtic", 1)]


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_within_the_window(seconds: int) -> None:
    verify(SECRET, HEADER, BODY, NOW + seconds)
    verify(SECRET, HEADER.replace("v1=", "s="), BODY, NOW)


@pytest.mark.parametrize("seconds", [-301, 301, 1e9])
def test_a_replay_is_turned_away(seconds: float) -> None:
    with pytest.raises(Forged, match="differs from ours by"):
        verify(SECRET, HEADER, BODY, NOW + seconds)


@pytest.mark.parametrize(
    "header",
    [
        *("", "t=1", HEADER.partition(",")[2], "é" * 80, "t=\u0661,v1=" + "0" * 64, HEADER + ",t=1", "x" * 10_000),
        *(HEADER.upper(), HEADER[:-1], HEADER + "0", f"t={NOW},v0=" + HEADER[-64:], HEADER[-64:], HEADER + ",v1=é"),
        HEADER + "," * 600,
    ],
)
def test_a_header_of_another_form_is_turned_away(header: str) -> None:
    with pytest.raises(Forged):
        verify(SECRET, header, BODY, NOW)


def test_no_secret_takes_nothing() -> None:
    with pytest.raises(ConfigError, match="no webhook secret"):
        verify("", sign_as_langfuse("", BODY, NOW), BODY, NOW)


def test_the_body_alone_is_not_what_is_signed() -> None:
    """And neither is it with another secret or another time."""
    for header in (
        sign_as_langfuse(SECRET + "x", BODY, NOW),
        sign_as_langfuse(SECRET, BODY, NOW - 1).replace(f"{NOW - 1}", f"{NOW}"),
    ):
        with pytest.raises(Forged, match="does not match the body") as caught:
            verify(SECRET, header, BODY, NOW)
        assert SECRET not in str(caught.value)


@given(st.integers(0, len(BODY) - 1), st.integers(1, 255))
def test_no_changed_byte_of_a_body_is_taken(place: int, change: int) -> None:
    changed = bytearray(BODY)
    changed[place] ^= change
    with pytest.raises(Forged):
        verify(SECRET, HEADER, bytes(changed), NOW)


@given(st.text(max_size=120), st.binary(max_size=200))
def test_nothing_at_random_is_taken_or_crashes_it(header: str, body: bytes) -> None:
    with pytest.raises(Forged):
        verify(SECRET, header, body, NOW)


@given(st.binary(max_size=200) | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode()))
def test_a_strange_body_is_said(body: bytes) -> None:
    with pytest.raises(Unreadable):
        parse_prompt_event(body, older=True)


def test_other_types_are_ignored_and_the_older_form_only_read_where_asked_for() -> None:
    assert parse_prompt_event(b'{"type":"monitor-alert","id":"x"}') is None
    older = b'{"event":"prompt.updated","data":{"name":"p","promptVersion":3}}'
    assert parse_prompt_event(older) is None
    event = parse_prompt_event(older, older=True)
    assert event is not None and (event.action, event.name, event.version, len(event.id)) == ("updated", "p", 3, 64)
    nested = parse_prompt_event(b'{"event":"prompt.deleted","data":{"prompt":{"name":"q"}}}', older=True)
    assert nested is not None and (nested.action, nested.name) == ("deleted", "q")
    for body in (b'{"type":"prompt-version","id":"x"}', b'{"type":"prompt-version","prompt":{"name":"p"}}'):
        with pytest.raises(Unreadable, match="needs"):
            parse_prompt_event(body)
    with pytest.raises(Unreadable, match="older form"):
        parse_prompt_event(b'{"event":"prompt.deleted","data":7}', older=True)


def test_our_signature_is_langfuses() -> None:
    """What we sign for others is what we would take ourselves."""
    assert sign(SECRET, BODY, NOW) == HEADER
    assert verify("another", sign("another", b"", NOW), b"", NOW).at == str(NOW)


def test_an_older_body_is_told_apart_by_its_signatures_time() -> None:
    """The same change may come again on another day; an attempt that is repeated keeps its time."""
    body = b'{"event": "prompt.updated", "data": {"prompt": {"name": "p"}}}'
    found = [parse_prompt_event(body, older=True, at=at) for at in ("1", "1", "2")]
    assert found[0] == found[1] != found[2]
    assert {each.name for each in found if each} == {"p"}
