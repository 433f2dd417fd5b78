"""Reads and writes a project's prompts: versions, and the labels that point at them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from shared.core.errors import BadAnswer, ConfigError
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_transport import LangfuseTransport, quote_segment
from shared.langfuse.api.pagination import read_numbered_pages

_PATH = "/api/public/v2/prompts"

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class LangfusePrompt:
    """One version. `content` is a text, or for `chat` a list of messages (`role`, `content`) and placeholders."""

    name: str
    version: int
    type: Literal["text", "chat"]
    content: str | Messages
    labels: Sequence[str] = ()
    tags: Sequence[str] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    commit_message: str | None = None

    @classmethod
    def parse(cls, row: Mapping[str, Any]) -> LangfusePrompt:
        """Parse an answer of the API.

        Raises:
            BadAnswer: when it is not a prompt.
        """
        try:
            return cls(
                name=str(row["name"]),
                version=int(row["version"]),
                type=row.get("type", "text"),
                content=row["prompt"],
                labels=tuple(row.get("labels") or ()),
                tags=tuple(row.get("tags") or ()),
                config=row.get("config") or {},
                commit_message=row.get("commitMessage"),
            )
        except (TypeError, KeyError, ValueError, AttributeError) as error:
            raise BadAnswer(f"the server's answer is not a prompt ({type(error).__name__}: {error})") from error


@dataclass(frozen=True, slots=True)
class NewPrompt:
    """The next version of a prompt, for `Prompts.create`. `config` is stored with the version; `labels` move to it from
    other versions.

    Raises:
        ConfigError: for labels or tags that are a string.
    """

    name: str
    content: str | Messages
    labels: Sequence[str] = ()
    tags: Sequence[str] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
    commit_message: str | None = None

    def __post_init__(self) -> None:
        _check_list(self.name, "labels", self.labels)
        _check_list(self.name, "tags", self.tags or ())


@dataclass(frozen=True, slots=True)
class PromptSummary:
    """A prompt as a list shows it: all its versions and labels, and when the last change was (ISO 8601)."""

    name: str
    type: Literal["text", "chat"]
    versions: Sequence[int]
    labels: Sequence[str]
    tags: Sequence[str]
    updated_at: str


class Prompts:
    """Reads and writes prompts. A name may hold slashes."""

    def __init__(self, transport: LangfuseTransport) -> None:
        self._transport = transport

    async def get(self, name: str, version: int | None = None, label: str | None = None) -> LangfusePrompt:
        """One version, by number or label; without both, the one labelled `production`.

        Raises:
            NotFound: when there is none; ConfigError when both are given.
        """
        if version is not None and label is not None:
            raise ConfigError(f"prompt {name!r}: found version and label; expected only one of them")
        params: dict[str, str | int] = {} if version is None else {"version": version}
        if label is not None:
            params["label"] = label
        return await self._ask("GET", f"/{quote_segment(name)}", params)

    async def list_all(
        self, name: str | None = None, label: str | None = None, tag: str | None = None
    ) -> AsyncIterator[PromptSummary]:
        """Every prompt, or those of exactly that name, label, tag."""
        filters = {"name": name, "label": label, "tag": tag}
        params = {key: value for key, value in filters.items() if value is not None}
        async for row in read_numbered_pages(self._transport, Call("GET", _PATH, params=params), ("name",)):
            if name is None or row["name"] == name:  # exactly: the server may match more loosely
                yield _parse_summary(row)

    listed = list_all  # its former name

    async def create(self, new: NewPrompt) -> LangfusePrompt:
        """Create the next version. It gets the label `latest` too.

        Raises:
            Unavailable: also when the answer was lost, so that the version may exist: the request is never repeated.
            Refused: when the name has versions of the other type.
        """
        body = {
            **{"name": new.name, "prompt": new.content, "type": "text" if isinstance(new.content, str) else "chat"},
            **{"labels": list(new.labels), "config": new.config, "commitMessage": new.commit_message},
            "tags": None if new.tags is None else list(new.tags),
        }
        return await self._ask("POST", "", body=body, once=True)

    async def add_labels(self, name: str, version: int, labels: Sequence[str]) -> LangfusePrompt:
        """Point labels at a version, away from the others. It keeps its own labels; `latest` cannot be moved.

        Raises:
            NotFound: when there is no such version; ConfigError for a label that these keys may not move, and for a
            string instead of a list.
        """
        body = {"newLabels": _check_list(name, "labels", labels)}
        return await self._ask("PATCH", f"/{quote_segment(name)}/versions/{version}", body=body)

    async def _ask(
        self,
        method: str,
        path: str,
        params: Mapping[str, str | int] | None = None,
        body: Mapping[str, object] | None = None,
        *,
        once: bool = False,
    ) -> LangfusePrompt:
        """The version in the answer."""
        call = Call(method, _PATH + path, None, params, body, named=bool(path), once=once)
        return LangfusePrompt.parse((await self._transport.ask(call)).data)


def _check_list(name: str, what: str, given: Sequence[str]) -> list[str]:
    """The list; a string is a sequence too, and each of its letters would become a label."""
    if isinstance(given, str):
        raise ConfigError(f"prompt {name!r}: {what}: found the string {given!r}; expected a list, such as [{given!r}]")
    return list(given)


def _parse_summary(row: Mapping[str, Any]) -> PromptSummary:
    return PromptSummary(
        name=str(row["name"]),
        type=row.get("type", "text"),
        versions=tuple(row.get("versions") or ()),
        labels=tuple(row.get("labels") or ()),
        tags=tuple(row.get("tags") or ()),
        updated_at=str(row.get("lastUpdatedAt", "")),
    )
