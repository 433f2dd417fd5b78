"""Conversations: messages of people, assistants and tools, in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Role = Literal["user", "assistant", "tool", "system"]


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One call of a tool: its name and arguments; `latency` in seconds where known."""

    name: str
    args: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    latency: float | None = None


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `tool_calls` stand on assistant messages; `tool_call_id`, `is_error` and `tool_output` on tools'."""

    role: Role
    content: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    is_error: bool = False
    tool_output: Any = None
    metadata: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Messages in order, never empty; `reference_text` is the answer that was expected, where there is one."""

    messages: tuple[Message, ...]
    reference_text: str | None = None
    reference_tool_calls: tuple[ToolCall, ...] = ()
    rubrics: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.messages:
            raise ValueError("a conversation needs at least one message, found none")

    def texts(self, role: Role) -> tuple[str, ...]:
        """The contents of all messages of one role, in order."""
        return tuple(message.content for message in self.messages if message.role == role)

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Every tool call of the assistant, in order."""
        return tuple(call for message in self.messages for call in message.tool_calls)

    @property
    def has_errors(self) -> bool:
        """Whether some tool answered with an error."""
        return any(message.is_error for message in self.messages if message.role == "tool")

    @property
    def stats(self) -> dict[str, int]:
        """Counts: `turn_count` (the larger of user's and assistant's), and messages and tool calls by kind."""
        users, answers = len(self.texts("user")), len(self.texts("assistant"))
        return {
            "turn_count": max(users, answers),
            "user_message_count": users,
            "ai_message_count": answers,
            "tool_call_count": len(self.tool_calls),
        }


def parse_tool_call(raw: Mapping[str, Any] | ToolCall) -> ToolCall:
    """A tool call from a mapping with `name` and `args` (or `arguments`).

    Raises:
        ValueError: when there is no name or the arguments are not a mapping.
    """
    if isinstance(raw, ToolCall):
        return raw
    args = raw.get("args", raw.get("arguments", {}))
    if not raw.get("name") or not isinstance(args, Mapping):
        raise ValueError(f"a tool call needs a name and a mapping of args, found {dict(raw)!r}")
    return ToolCall(name=str(raw["name"]), args=dict(args), id=raw.get("id"), latency=raw.get("latency"))


_ROLES: Mapping[str, Role] = {"user": "user", "human": "user", "assistant": "assistant", "ai": "assistant"}
_OTHER_ROLES: Mapping[str, Role] = {"tool": "tool", "system": "system"}


def parse_message(raw: Mapping[str, Any] | Message) -> Message:
    """A message from a mapping with `role` (user, human, assistant, ai, tool, system) and `content`.

    Raises:
        ValueError: when the role is unknown.
    """
    if isinstance(raw, Message):
        return raw
    name = str(raw.get("role", "")).lower()
    role = _ROLES.get(name) or _OTHER_ROLES.get(name)
    if role is None:
        raise ValueError(f"expected a message role (user, assistant, tool, system), found {raw.get('role')!r}")
    return Message(
        role=role,
        content=str(raw.get("content") or ""),
        tool_calls=tuple(parse_tool_call(call) for call in raw.get("tool_calls") or ()),
        tool_call_id=raw.get("tool_call_id"),
        is_error=bool(raw.get("is_error", False)),
        tool_output=raw.get("tool_output"),
        metadata=dict(raw.get("metadata") or {}),
    )


def parse_conversation(raw: Conversation | Mapping[str, Any] | Sequence[Any] | None) -> Conversation | None:
    """A conversation from a list of messages or a mapping with `messages`; None stays None.

    Raises:
        ValueError: when there are no messages or one of them is malformed.
    """
    if raw is None or isinstance(raw, Conversation):
        return raw
    if not isinstance(raw, Mapping):
        return Conversation(tuple(parse_message(each) for each in raw))
    return Conversation(
        messages=tuple(parse_message(each) for each in raw.get("messages") or ()),
        reference_text=raw.get("reference_text"),
        reference_tool_calls=tuple(parse_tool_call(call) for call in raw.get("reference_tool_calls") or ()),
        rubrics=dict(raw.get("rubrics") or {}),
        metadata=dict(raw.get("metadata") or {}),
    )
