"""The source `langfuse_dataset`: reads the items of a Langfuse dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import Literal

from pydantic import Field

from shared.core.errors import ConfigError, ItemError, SourceError, TransientError
from shared.core.extraction import BrokenRecord, Fetched, SkippedRecord, SourceNotice, extract_item
from shared.core.ports import SourceContext
from shared.core.records import FIELDS, DatasetItem
from shared.core.registry import hint
from shared.http.client_runtime import ClientRuntime
from shared.http.client_settings import Count
from shared.langfuse.api.connection import Connection, LangfuseSettings
from shared.langfuse.api.langfuse_client import LangfuseClient, describe_server
from shared.langfuse.api.langfuse_errors import NotFound
from shared.langfuse.api.read_queries import Row


class LangfuseDatasetParams(Connection):
    """Parameters of the source `langfuse_dataset`."""

    dataset: str = Field(min_length=1, description="The dataset's name; it may hold slashes.")
    records: Literal["items", "rows"] = Field(
        default="items", description="What the extractor is given: fields of an item, or the row as Langfuse has it."
    )
    limit: Count | None = Field(default=None, description="At most so many items: the newest.")


class LangfuseDatasetSource:
    """Active items of one dataset, newest first."""

    Params = LangfuseDatasetParams
    window_support = None

    def __init__(
        self, params: LangfuseDatasetParams, context: SourceContext, runtime: ClientRuntime | None = None
    ) -> None:
        self.key = context.key
        self._params = params
        self._context = context
        self.runtime = runtime or ClientRuntime()

    async def connect(self) -> str:
        """Describe the server and how it is read; for `trueline check --connect`.

        Raises:
            ConfigError: wrong keys or host, a server that is too old; TransientError when it does not answer.
        """
        return await describe_server(LangfuseSettings.from_connection(self._params, self._context.root), self.runtime)

    def fetch(self, now: datetime) -> Iterator[Fetched]:
        """Yield every active item; archived ones are counted in a `SourceNotice`.

        Raises:
            SourceError: when the dataset cannot be read; ConfigError: wrong keys, no dataset of that name.
        """
        client = LangfuseClient(LangfuseSettings.from_connection(self._params, self._context.root), self.runtime)
        given = archived = 0
        try:
            for row in client.each(client.datasets.items(self._params.dataset)):
                if row.get("status") == "ARCHIVED":
                    archived += 1
                    continue
                if given == self._params.limit:
                    yield SourceNotice(f"limit {given} was hit: older items of the dataset are skipped; raise `limit`")
                    break
                given += 1
                yield self._extract(row)
        except NotFound as error:
            names = [str(row.get("name")) for row in client.each(client.datasets.list_all())]
            where = f"source {self.key}: there is no dataset {self._params.dataset!r} in this project"
            raise ConfigError(f"{where}. {hint(self._params.dataset, names)}") from error
        except (TransientError, ItemError) as error:
            raise SourceError(f"source {self.key}, dataset {self._params.dataset!r}: {error}") from error
        finally:
            client.close()
        if archived:
            yield SourceNotice(f"{archived} items of dataset {self._params.dataset!r} are archived and skipped")

    def _extract(self, row: Row) -> DatasetItem | BrokenRecord | SkippedRecord:
        record = row if self._params.records == "rows" else item_fields(row)
        found = extract_item(self._context.extract, record, str(row.get("id")))
        return BrokenRecord(f"dataset item {row.get('id')}", found) if isinstance(found, str) else found


def item_fields(row: Row) -> Row:
    """Convert a dataset's item to the fields of a `DatasetItem`.

    `input` is the query. Where it is an object, entries with the name of an item's field become that field, the rest
    `additional_input`. An `expectedOutput` that is not a string is written as JSON.
    """
    given = row.get("input")
    found: Row = {"id": row.get("id"), "source_timestamp": row.get("createdAt")}
    if isinstance(given, dict):
        found |= {name: value for name, value in given.items() if name in FIELDS and name != "id"}
        rest = {name: value for name, value in given.items() if name not in FIELDS}
        found |= {"additional_input": {**(found.get("additional_input") or {}), **rest}} if rest else {}
    else:
        found["query"] = _to_text(given)
    pairs = {"expected_output": _to_text(row.get("expectedOutput")), "trace_id": row.get("sourceTraceId")}
    pairs |= {"observation_id": row.get("sourceObservationId"), "metadata": row.get("metadata")}
    return found | {name: value for name, value in pairs.items() if value is not None}


def _to_text(value: object) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)
