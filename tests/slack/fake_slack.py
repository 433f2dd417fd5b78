"""A fake Slack on loopback: the Web API's shapes as `slack_sdk` meets them, channels with messages, incoming webhooks.

It refuses what Slack refuses (blocks over its limits, unknown channels, missing scopes) and answers what it was told to
answer before that: a status, headers, a body, or a cut connection, before or after the request took effect.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "xoxb-very-secret"
ALL_SCOPES = ("chat:write", "channels:history", "channels:read", "users:read", "reactions:read")

_NEEDED = {
    "chat.postMessage": "chat:write",
    "chat.update": "chat:write",
    "conversations.history": "channels:history",
    "conversations.replies": "channels:history",
    "conversations.info": "channels:read",
    "users.info": "users:read",
    "reactions.get": "reactions:read",
}


@dataclass
class Trouble:
    """An answer that is given instead, or with `cut` none at all; with `done` the request takes effect nevertheless."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: bool = False
    done: bool = False


@dataclass(frozen=True)
class Call:
    method: str
    given: Mapping[str, Any]
    token: str


def refused(why: str, **more: str) -> Trouble:
    return Trouble(body=json.dumps({"ok": False, "error": why, **more}).encode())


def limited(seconds: str) -> Trouble:
    return Trouble(429, b'{"ok": false, "error": "ratelimited"}', {"retry-after": seconds})


class FakeSlack:
    """`channels` hold messages, oldest first; `trouble` has what goes wrong next, by method or for any (`*`)."""

    def __init__(self) -> None:
        self.channels: dict[str, list[dict[str, Any]]] = {"C1": []}
        self.archived: set[str] = set()
        self.scopes: tuple[str, ...] = ALL_SCOPES
        self.users: dict[str, dict[str, Any]] = {}
        self.calls: list[Call] = []
        self.trouble: dict[str, list[Trouble]] = {}
        self.parents_on_every_page = True
        self.page = 200
        self.hooked: list[dict[str, Any]] = []
        self._lock = threading.Lock()
        self._ts = 1_764_590_400_000_000
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                self._take(self.rfile.read(int(self.headers.get("content-length") or 0)))

            def do_GET(self) -> None:
                self._take(b"")

            def _take(self, body: bytes) -> None:
                parts = urlsplit(self.path)
                if "json" in (self.headers.get("content-type") or ""):
                    given = json.loads(body)
                else:
                    given = dict(parse_qsl(body.decode())) | dict(parse_qsl(parts.query))
                token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
                with fake._lock:
                    answer = fake._answer(parts.path, given, token)
                if answer.cut:
                    self.close_connection = True
                    self.connection.close()
                    return
                with suppress(OSError):
                    self.send_response(answer.status)
                    for key, value in {"content-type": "application/json", **answer.headers}.items():
                        self.send_header(key, value)
                    self.send_header("content-length", str(len(answer.body)))
                    self.end_headers()
                    self.wfile.write(answer.body)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def api(self) -> str:
        return self.address + "/api/"

    @property
    def hook(self) -> str:
        return self.address + "/services/T000/B000/hooksecret"

    def fail(self, method: str, *troubles: Trouble) -> None:
        self.trouble.setdefault(method, []).extend(troubles)

    def called(self, method: str) -> list[Mapping[str, Any]]:
        return [call.given for call in self.calls if call.method == method]

    def messages(self, channel: str = "C1", thread: str | None = None) -> list[dict[str, Any]]:
        """The channel's own messages, or the replies of a thread."""
        everything = sorted(self.channels[channel], key=lambda each: float(each["ts"]))
        if thread is not None:
            return [each for each in everything if each.get("thread_ts") == thread and each["ts"] != thread]
        return [each for each in everything if each.get("thread_ts") in (None, each["ts"])]

    def add(self, text: str, channel: str = "C1", ts: str = "", **more: Any) -> str:
        """Put a message into a channel; a reply raises its parent's `reply_count` and `latest_reply`."""
        ts = ts or self._next_ts()
        message = {"type": "message", "text": text, "ts": ts, **more}
        if not ({"user", "bot_id"} & set(more)):
            message["user"] = "U1"
        self.channels[channel].append(message)
        self._count_replies(channel, more.get("thread_ts"))
        return ts

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, path: str, given: Mapping[str, Any], token: str) -> Trouble:
        method = path.rsplit("/", 1)[-1] if "/api/" in path else "webhook"
        self.calls.append(Call(method, given, token))
        waiting = self.trouble.get(method) or self.trouble.get("*")
        trouble = waiting.pop(0) if waiting else None
        if trouble is not None and not trouble.done:
            return trouble
        if method == "webhook":
            done = self._hook(given)
        else:
            headers = {"x-oauth-scopes": ",".join(self.scopes)}
            done = Trouble(body=json.dumps(self._do(method, given, token)).encode(), headers=headers)
        return trouble or done

    def _do(self, method: str, given: Mapping[str, Any], token: str) -> dict[str, Any]:
        if token != TOKEN:
            return {"ok": False, "error": "invalid_auth"}
        if method == "auth.test":
            return {"ok": True, "team": "Acme", "user": "trueline", "user_id": "UB", "bot_id": "B1"}
        needed = _NEEDED.get(method)
        if needed is None:
            return {"ok": False, "error": "unknown_method"}
        if needed not in self.scopes:
            return {"ok": False, "error": "missing_scope", "needed": needed, "provided": ",".join(self.scopes)}
        if method == "users.info":
            user = self.users.get(str(given["user"]))
            return {"ok": True, "user": user} if user else {"ok": False, "error": "user_not_found"}
        channel = str(given.get("channel"))
        if channel not in self.channels:
            return {"ok": False, "error": "channel_not_found"}
        return getattr(self, "_" + method.replace(".", "_"))(channel, given)  # type: ignore[no-any-return]

    def _chat_postMessage(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        wrong = _refusal(given)
        if wrong or channel in self.archived:
            return {"ok": False, "error": wrong or "is_archived"}
        more = {key: given[key] for key in ("blocks", "metadata", "thread_ts") if key in given}
        ts = self.add(str(given.get("text", "")), channel, bot_id="B1", **more)
        return {"ok": True, "channel": channel, "ts": ts, "message": {"text": given.get("text"), "ts": ts}}

    def _chat_update(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        wrong = _refusal(given)
        found = next((each for each in self.channels[channel] if each["ts"] == given["ts"]), None)
        if wrong or found is None:
            return {"ok": False, "error": wrong or "message_not_found"}
        found |= {"text": given.get("text"), "blocks": given.get("blocks"), "edited": {"user": "B1", "ts": "1.0"}}
        return {"ok": True, "channel": channel, "ts": given["ts"], "text": given.get("text")}

    def _conversations_info(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "ok": True,
            "channel": {"id": channel, "name": channel.lower(), "is_archived": channel in self.archived},
        }

    def _conversations_history(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._page(self.messages(channel)[::-1], given)

    def _conversations_replies(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        parent = next((each for each in self.channels[channel] if each["ts"] == given["ts"]), None)
        if parent is None:
            return {"ok": False, "error": "thread_not_found"}
        first = [] if given.get("cursor") and not self.parents_on_every_page else [parent]
        answer = self._page(self.messages(channel, str(given["ts"])), given)
        return answer | {"messages": [*first, *answer["messages"]]}

    def _reactions_get(self, channel: str, given: Mapping[str, Any]) -> dict[str, Any]:
        found = next(each for each in self.channels[channel] if each["ts"] == given["timestamp"])
        whole = [each | {"users": each.get("everybody", each["users"])} for each in found.get("reactions", ())]
        return {"ok": True, "type": "message", "channel": channel, "message": found | {"reactions": whole}}

    def _page(self, messages: list[dict[str, Any]], given: Mapping[str, Any]) -> dict[str, Any]:
        low, high = float(given.get("oldest") or 0), float(given.get("latest") or "inf")
        inside = [each for each in messages if low < float(each["ts"]) < high]
        if given.get("include_all_metadata") not in ("1", "true", True):
            inside = [{key: value for key, value in each.items() if key != "metadata"} for each in inside]
        places = [each["ts"] for each in inside]
        start = places.index(given["cursor"]) + 1 if given.get("cursor") else 0
        size = min(int(given.get("limit") or 100), self.page)
        more = start + size < len(inside)
        cursor = {"next_cursor": places[start + size - 1] if more else ""}  # as Slack's: a place in time
        return {"ok": True, "messages": inside[start : start + size], "has_more": more, "response_metadata": cursor}

    def _hook(self, given: Mapping[str, Any]) -> Trouble:
        if _refusal(given):
            return Trouble(400, b"invalid_blocks", {"content-type": "text/html"})
        self.hooked.append(dict(given))
        return Trouble(200, b"ok", {"content-type": "text/html"})

    def _count_replies(self, channel: str, thread: str | None) -> None:
        parent = next((each for each in self.channels[channel] if each["ts"] == thread), None)
        replies = [] if thread is None else self.messages(channel, thread)
        if parent is not None and replies:
            latest = max(each["ts"] for each in replies)
            parent |= {"thread_ts": parent["ts"], "reply_count": len(replies), "latest_reply": latest}

    def _next_ts(self) -> str:
        self._ts += 1_000_100
        return f"{self._ts // 1_000_000}.{self._ts % 1_000_000:06d}"


def _refusal(given: Mapping[str, Any]) -> str:
    """What Slack says of a message over its limits."""
    blocks = given.get("blocks") or []
    if not given.get("text") and not blocks:
        return "no_text"
    texts = [len(each["text"]) for block in blocks for each in _texts(block)]
    too_long = any(
        len(each["text"]) > (2000 if "fields" in block else 3000) for block in blocks for each in _texts(block)
    )
    if len(blocks) > 50 or too_long or any(len(block.get("fields", ())) > 10 for block in blocks):
        return "invalid_blocks"
    if any(not each["text"] for block in blocks for each in _texts(block)):
        return "invalid_blocks"
    return (
        "msg_blocks_too_long" if sum(texts) > 13_200 else "msg_too_long" if len(given.get("text", "")) > 40_000 else ""
    )


def _texts(block: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [*([block["text"]] if "text" in block else []), *block.get("fields", ()), *block.get("elements", ())]


@contextmanager
def fake_slack() -> Iterator[FakeSlack]:
    fake = FakeSlack()
    try:
        yield fake
    finally:
        fake.close()
