"""Sources against a fake server: made, read, and traces of files put into the server as an SDK would send them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from shared.core.clock import parse_time
from shared.core.extraction import BrokenRecord, SkippedRecord, SourceNotice
from shared.core.ports import SourceContext
from shared.core.records import DatasetItem
from shared.http.client_runtime import ClientRuntime
from shared.langfuse.source.trace_source import LangfuseSource
from shared.langfuse.source.trace_source_params import LangfuseSourceParams
from shared.monitoring.source_window import split_window_keys, window_params_model
from tests.langfuse.clients import SharedTime
from tests.langfuse.fake_server.plan import PUBLIC_KEY, SECRET_KEY
from tests.langfuse.fake_server.server import FakeLangfuse
from tests.langfuse.fake_server.wire import format_time

Row = dict[str, Any]
ROOT = Path(__file__).resolve().parents[3]


def outline(record: Row) -> DatasetItem:
    """An item that tells what its record held."""
    rows = record.get("observations") or [row for each in record["traces"] for row in each["observations"]]
    facts = {"spans": [row["id"] for row in rows], "name": record.get("name"), "metadata": record.get("metadata")}
    return DatasetItem(
        id=record["id"],
        query=str(record.get("input")),
        latency=record["latency"],
        user_tags=tuple(record.get("tags", ())),
        metadata=facts,
        source_timestamp=parse_time(record["timestamp"]),
    )


def source_of(
    server: FakeLangfuse, root: Path, extract: Callable[[Any], DatasetItem] = outline, **given: Any
) -> LangfuseSource:
    """A source in the fake server's time; without a window it reads the last hour."""
    if not {"window", "from_timestamp", "to_timestamp", "days_back", "minutes_back"} & given.keys():
        given.setdefault("hours_back", 1)
    keys = {"base_url": server.url, "public_key": SecretStr(PUBLIC_KEY), "secret_key": SecretStr(SECRET_KEY)}
    window, own = split_window_keys(given, LangfuseSourceParams.model_fields)
    support = LangfuseSource.window_support
    rule = window_params_model(support).model_validate(window).to_rule(support)
    context = SourceContext(root, "langfuse:t", extract, rule)
    return LangfuseSource(LangfuseSourceParams.model_validate({**keys, **own}), context, runtime_of(server))


def runtime_of(server: FakeLangfuse) -> ClientRuntime:
    return SharedTime(server.clock).runtime()


def read(
    server: FakeLangfuse, root: Path, at: datetime | None = None, **given: Any
) -> tuple[dict[str, DatasetItem], list[str]]:
    """The items by id, and what was told; a broken record fails."""
    items, notes = {}, []
    for found in source_of(server, root, **given).fetch(at or server.clock()):
        if isinstance(found, DatasetItem):
            assert found.id not in items
            items[found.id] = found
        elif not (isinstance(found, SkippedRecord) and found.later):
            assert isinstance(found, SourceNotice), found
            notes.append(found.text)
    return items, notes


def broken(server: FakeLangfuse, root: Path, **given: Any) -> list[BrokenRecord]:
    found = source_of(server, root, **given).fetch(server.clock())
    return [each for each in found if isinstance(each, BrokenRecord)]


def rows_of(trace: Row, at: datetime) -> list[Row]:
    """A trace of `data/athena` as an SDK sends it: its own fields on a root, the observations below, begun at `at`."""
    moved = at - parse_time(trace["timestamp"])
    end = at + timedelta(seconds=trace["latency"])
    shared = {"traceId": trace["id"], "environment": trace["environment"], "sessionId": trace["sessionId"]}
    shared |= {"userId": trace["userId"], "tags": trace["tags"], "traceName": trace["name"]}
    root = {"id": f"{trace['id'][:13]}-root", "type": "SPAN", "name": trace["name"], "metadata": trace["metadata"]}
    root |= {"startTime": format_time(at), "endTime": format_time(end)}
    root |= {"input": _text(trace["input"]), "output": _text(trace["output"]), "parentObservationId": None}
    rows = [{**shared, **root}]
    for each in trace["observations"]:
        times = {name: format_time(parse_time(each[name]) + moved) for name in ("startTime", "endTime")}
        texts = {name: _text(each.get(name)) for name in ("input", "output")}
        rows.append({**shared, **each, **times, **texts, "parentObservationId": root["id"]})
    return rows


def athena(name: str, count: int) -> list[Row]:
    """The first traces of a file under data/athena."""
    lines = (ROOT / "data" / "athena" / f"{name}.jsonl").read_text().splitlines()[:count]
    return [json.loads(line) for line in lines]


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
