"""Prompts: versions, and labels that wander from one version to another."""

from __future__ import annotations

import re
import threading
import uuid
from typing import Any, Protocol

from tests.langfuse.fake_server.plan import PROJECT, Plan
from tests.langfuse.fake_server.wire import (
    MovableClock,
    Refused,
    Reply,
    Request,
    format_time,
    not_found,
    paged_reply,
    refusal,
)

Row = dict[str, Any]
_LABEL = re.compile(r"^[a-z0-9_\-.]+$")


class Listener(Protocol):
    """Told of every change, as the queue behind the webhooks is."""

    def __call__(self, action: str, prompt: Row) -> None: ...


class FakePrompts:
    """Versions in order, by name."""

    def __init__(self, plan: Plan, clock: MovableClock, changed: Listener) -> None:
        self._plan = plan
        self._clock = clock
        self._changed = changed
        self._lock = threading.Lock()
        self.versions: dict[str, list[Row]] = {}

    def get(self, request: Request) -> Reply:
        name = request.segments[0]
        version, label = request.one("version"), request.one("label")
        if version is not None and label is not None:
            raise refusal(400, "Cannot specify both version and label")
        wanted = label or "production"
        for row in self.versions.get(name, ()):
            if str(row["version"]) == version if version is not None else wanted in row["labels"]:
                return Reply(200, row)
        how = f"version {version}" if version is not None else f"label '{wanted}'"
        raise not_found(f"Prompt not found: '{name}' with {how}")

    def listed(self, request: Request) -> Reply:
        name, label, tag = (request.one(each) for each in ("name", "label", "tag"))
        found = []
        for each, rows in sorted(self.versions.items()):
            kept = [row for row in rows if label is None or label in row["labels"]]
            kept = [row for row in kept if tag is None or tag in row["tags"]]
            if kept and name in (None, each):
                found.append(_meta(each, kept))
        return paged_reply(request, found)

    def create(self, request: Request) -> Reply:
        """POST /api/public/v2/prompts: the next version. It is `latest`, and takes its labels from the others."""
        body = request.json
        kind = body.get("type") or "text"
        labels, name = list(body.get("labels") or []), body.get("name")
        if not name or "prompt" not in body or not all(_LABEL.match(label) for label in labels):
            raise refusal(400, "Invalid request data")
        self._refuse_protected(labels)
        with self._lock:
            rows = self.versions.setdefault(name, [])
            if rows and rows[-1]["type"] != kind:
                raise refusal(
                    400,
                    "Previous versions have different prompt type. Create a new prompt with a different name.",
                )
            labels = list(dict.fromkeys([*labels, "latest"]))
            touched = self._take_away(rows, labels)
            now = format_time(self._clock())
            made: Row = {"id": str(uuid.uuid4()), "name": name, "version": len(rows) + 1, "type": kind}
            made |= {"prompt": _as_stored(body["prompt"]), "labels": labels, "config": body.get("config") or {}}
            made |= {"tags": body.get("tags") or (rows[-1]["tags"] if rows else [])}
            made |= {"commitMessage": body.get("commitMessage"), "projectId": PROJECT, "createdBy": "API"}
            made |= {"isActive": True, "resolutionGraph": None, "createdAt": now, "updatedAt": now}
            rows.append(made)
        for row in touched:
            self._changed("updated", row)
        self._changed("created", made)
        return Reply(200, made)

    def label(self, request: Request) -> Reply:
        """PATCH .../versions/{n}: labels are added; a version loses one only when another takes it."""
        name, version = request.segments
        new = request.json.get("newLabels")
        if not isinstance(new, list):
            raise refusal(400, "Invalid request data: newLabels")
        if "latest" in new:
            raise refusal(400, "Label 'latest' is always assigned to the latest prompt version")
        self._refuse_protected(new)
        with self._lock:
            rows = self.versions.get(name, [])
            row = next((each for each in rows if str(each["version"]) == version), None)
            if row is None:
                raise not_found(f"Prompt not found: {name}")
            touched = self._take_away([each for each in rows if each is not row], new)
            row["labels"] = list(dict.fromkeys([*new, *row["labels"]]))
            row["updatedAt"] = format_time(self._clock())
        for each in (*touched, row):
            self._changed("updated", each)
        return Reply(200, row)

    def delete(self, request: Request) -> Reply:
        """DELETE: fires no webhook, as the real server does not."""
        name, version, label = request.segments[0], request.one("version"), request.one("label")
        rows = self.versions.get(name, [])
        kept = [
            row
            for row in rows
            if (version is not None and str(row["version"]) != version)
            or (label is not None and label not in row["labels"])
        ]
        if len(kept) == len(rows):
            raise not_found("Prompt not found")
        self.versions[name] = kept
        if not kept:
            del self.versions[name]
        return Reply(204, b"")

    def _take_away(self, rows: list[Row], labels: list[str]) -> list[Row]:
        touched = [row for row in rows if set(row["labels"]) & set(labels)]
        for row in touched:
            row["labels"] = [label for label in row["labels"] if label not in labels]
            row["updatedAt"] = format_time(self._clock())
        return touched

    def _refuse_protected(self, labels: list[str]) -> None:
        if set(labels) & self._plan.protected_labels:
            label = sorted(set(labels) & self._plan.protected_labels)[0]
            message = f"You don't have permission to modify the protected label '{label}'"
            raise Refused(Reply(403, {"message": message, "error": "ForbiddenError"}))


def _as_stored(content: Any) -> Any:
    """The real server strips messages of all but role and content, placeholders of all but their name."""
    if not isinstance(content, list):
        return content
    return [
        {"type": "placeholder", "name": each["name"]}
        if each.get("type") == "placeholder"
        else {"role": each["role"], "content": each["content"]}
        for each in content
    ]


def _meta(name: str, rows: list[Row]) -> Row:
    last = rows[-1]
    return {
        **{"name": name, "type": last["type"], "versions": [row["version"] for row in rows], "tags": last["tags"]},
        "labels": sorted({label for row in rows for label in row["labels"]}),
        **{"lastUpdatedAt": max(row["updatedAt"] for row in rows), "lastConfig": last["config"]},
    }
