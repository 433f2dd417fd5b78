"""Datasets, their items, and experiments."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.core.clock import iso
from shared.core.errors import BadAnswer
from shared.langfuse.api.connection import Bucket
from shared.langfuse.api.langfuse_call import Call
from shared.langfuse.api.langfuse_transport import LangfuseTransport, quote_segment
from shared.langfuse.api.pagination import read_cursor_pages, read_numbered_pages
from shared.langfuse.api.read_queries import Row

_BUCKET: Bucket = "datasets"


@dataclass(frozen=True, slots=True)
class NewItem:
    """A dataset's item. The same `id` again replaces it; an id belongs to one dataset only."""

    id: str
    input: object
    expected_output: object = None
    metadata: Mapping[str, Any] | None = None
    source_trace_id: str | None = None
    source_observation_id: str | None = None


class Datasets:
    """Reads and writes datasets. A name may hold slashes."""

    def __init__(self, transport: LangfuseTransport) -> None:
        self._transport = transport

    def list_all(self) -> AsyncIterator[Row]:
        """Every dataset."""
        return self._read_numbered("v2/datasets", {})

    listed = list_all  # its former name

    async def get(self, name: str) -> Row:
        """One dataset.

        Raises:
            NotFound: when there is none of that name.
        """
        return await self._ask("GET", f"v2/datasets/{quote_segment(name)}")

    async def create(self, name: str, description: str | None = None, metadata: Mapping[str, Any] | None = None) -> Row:
        """Create a dataset, or update the one of that name."""
        body = {"name": name, "description": description, "metadata": metadata}
        return await self._ask("POST", "v2/datasets", body, named=False)

    def items(self, dataset: str) -> AsyncIterator[Row]:
        """Every item of a dataset, newest first.

        Raises:
            NotFound: when there is no dataset of that name.
        """
        return self._read_numbered("dataset-items", {"datasetName": dataset})

    async def put_item(self, dataset: str, item: NewItem) -> Row:
        """Create an item, or replace the one with that id.

        Raises:
            NotFound: when there is no dataset of that name, or the id belongs to another.
        """
        body = {
            **{"datasetName": dataset, "id": item.id, "input": item.input, "expectedOutput": item.expected_output},
            **{"metadata": item.metadata, "sourceTraceId": item.source_trace_id},
            "sourceObservationId": item.source_observation_id,
        }
        return await self._ask("POST", "dataset-items", body)

    async def link(self, run: str, item_id: str, trace_id: str, observation_id: str | None = None) -> Row:
        """Link a trace to an item in a run of the older kind. Langfuse 4 reads experiments from spans instead.

        Raises:
            NotFound: when there is no such item; Unavailable also when the answer was lost.
        """
        body = {"runName": run, "datasetItemId": item_id, "traceId": trace_id, "observationId": observation_id}
        return await self._ask("POST", "dataset-run-items", body, once=True)

    def links(self, dataset_id: str, run: str) -> AsyncIterator[Row]:
        """What `link` has linked in a run; nothing where there is no such run.

        Raises:
            NotFound: from servers that know no run of that name.
        """
        return self._read_numbered("dataset-run-items", {"datasetId": dataset_id, "runName": run})

    def experiments(self, since: datetime, fields: Sequence[str] = ("metadata", "scores")) -> AsyncIterator[Row]:
        """Experiments with a span since then, the latest first."""
        return self._read_cursors("experiments", {"fromStartTime": iso(since), "fields": ",".join(("core", *fields))})

    def experiment_items(
        self,
        since: datetime,
        experiment_id: str | None = None,
        fields: Sequence[str] = ("io", "scores"),
        until: datetime | None = None,
    ) -> AsyncIterator[Row]:
        """Items of experiments, of one where its id is given, that start in [since, until), the latest first."""
        params = {"fromStartTime": iso(since), "fields": ",".join(("core", "dataset", *fields))}
        if until is not None:
            params["toStartTime"] = iso(until)
        if experiment_id is not None:
            params["experimentId"] = experiment_id
        return self._read_cursors("experiment-items", params)

    def _read_numbered(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Row]:
        return read_numbered_pages(
            self._transport, Call("GET", f"/api/public/{path}", _BUCKET, params, named=bool(params))
        )

    def _read_cursors(self, path: str, params: Mapping[str, str]) -> AsyncIterator[Row]:
        return read_cursor_pages(self._transport, f"/api/public/{path}", _BUCKET, params)

    async def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None = None,
        *,
        named: bool = True,
        once: bool = False,
    ) -> Row:
        """The dataset or item in the answer."""
        call = Call(method, f"/api/public/{path}", _BUCKET, None, body, named=named, once=once)
        data = (await self._transport.ask(call)).data
        if not isinstance(data, dict) or "id" not in data:
            raise BadAnswer("the server's answer is not a dataset or one of its items")
        return data
