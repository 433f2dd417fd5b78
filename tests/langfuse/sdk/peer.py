"""Langfuse's own SDK against an address: one scenario, its result as JSON. Runs in an environment of its own.

python peer.py URL SCENARIO [JSON]
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from langfuse import Evaluation, Langfuse  # type: ignore[import-not-found]  # it has an environment of its own

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def made(url: str, timeout: int = 5) -> Any:
    """A client with the fake server's keys."""
    return Langfuse(public_key="pk-lf-0123-public", secret_key="sk-lf-4567-secret", host=url, timeout=timeout)


def observations(client: Any, given: Any) -> Any:
    """Ids of every row, page by page, and the fields of the first."""
    cursor, ids = None, []
    first: dict[str, Any] = {}
    while True:
        page = client.api.observations.get_many(cursor=cursor, **given)
        ids += [row.id for row in page.data]
        first = first or json.loads(page.data[0].json(by_alias=True, exclude_none=True))
        cursor = page.meta.cursor
        if cursor is None:
            return {"ids": ids, "first": first}


def scores(client: Any, given: Any) -> Any:
    """Seconds that it took to send so many scores and flush."""
    start = time.perf_counter()
    for number in range(given["count"]):
        client.create_score(
            score_id=f"s{number}", trace_id=f"{number:032x}", name="exact", value=0.5, data_type="NUMERIC", comment="c"
        )
    client.flush()
    return {"seconds": time.perf_counter() - start}


def read_scores(client: Any, given: Any) -> Any:
    """Values by id, through the v3 read."""
    api = client.api.scores.get_many if hasattr(client.api.scores, "get_many") else None
    read = client.api.scores_v3.get_many_v3 if hasattr(client.api, "scores_v3") else api
    assert read is not None
    found: dict[str, Any] = {}
    cursor = None
    while True:
        page = read(cursor=cursor, limit=100, fields="details,subject", **given)
        found |= {row.id: [row.value, row.subject.kind] for row in page.data}
        cursor = page.meta.cursor
        if cursor is None:
            return found


def prompts(client: Any, _: Any) -> Any:
    """Versions made, fetched, labelled."""
    client.create_prompt(name="folder/p", prompt="v1 {{x}}", labels=["production"], tags=["t"], commit_message="one")
    client.create_prompt(name="folder/p", prompt="v2 {{x}}", config={"m": 1})
    before = client.get_prompt("folder/p", cache_ttl_seconds=0)
    client.update_prompt(name="folder/p", version=2, new_labels=["production"])
    after = client.get_prompt("folder/p", label="production", cache_ttl_seconds=0)
    chat = client.create_prompt(name="chat", type="chat", prompt=[{"role": "user", "content": "hi {{x}}"}])
    listed = client.api.prompts.list()
    missing = ""
    try:
        client.get_prompt("nope", cache_ttl_seconds=0, max_retries=0)
    except Exception as error:  # noqa: BLE001 - the SDK's own error is what is asked for
        missing = type(error).__name__
    return {
        "before": [before.version, before.compile(x="y")],
        "after": [after.version, sorted(after.labels), after.config],
        "chat": chat.compile(x="y"),
        "listed": sorted((row.name, list(row.versions)) for row in listed.data),
        "missing": missing,
    }


def spans(client: Any, _: Any) -> Any:
    """A trace of two."""
    with client.start_as_current_observation(name="root", as_type="span", input={"q": 1}) as root:
        with client.start_as_current_observation(name="llm", as_type="generation", model="m") as inner:
            inner.update(output="answer", usage_details={"input": 3, "output": 2}, metadata={"k": "v"})
        root.update(output="done")
        key = root.trace_id
    start = time.perf_counter()
    client.flush()
    return {"trace": key, "seconds": time.perf_counter() - start}


def experiment(client: Any, _: Any) -> Any:
    """One experiment on a dataset with a slash in its name, read back."""
    client.create_dataset(name="folder/set")
    for number in range(3):
        client.create_dataset_item(dataset_name="folder/set", id=f"i{number}", input=f"q{number}", expected_output="A")
    dataset = client.get_dataset("folder/set")
    result = dataset.run_experiment(
        name="exp",
        run_name="run 1",
        task=lambda *, item, **_: "A" if item.id != "i2" else "B",
        evaluators=[
            lambda *, output, expected_output, **_: Evaluation(name="exact", value=float(output == expected_output))
        ],
        run_evaluators=[lambda *, item_results, **_: Evaluation(name="items", value=float(len(item_results)))],
    )
    client.flush()
    since = datetime.now(UTC) - timedelta(days=1)
    listed = client.api.experiments.list(from_start_time=since, fields="scores")
    items = client.api.experiments.list_items(from_start_time=since, fields="io,scores")
    return {
        "results": len(result.item_results),
        "experiments": [[row.name, row.item_count, [each.value for each in row.scores]] for row in listed.data],
        "items": sorted([row.experiment_item_id, row.input, row.output, row.expected_output] for row in items.data),
        "scores": sorted(each.value for row in items.data for each in row.scores),
    }


def main() -> None:
    """Run one scenario."""
    logging.basicConfig(stream=sys.stderr)
    scenario = {each.__name__: each for each in (observations, scores, read_scores, prompts, spans, experiment)}
    given = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    client = made(sys.argv[1])
    print(json.dumps(scenario[sys.argv[2]](client, given), default=str), flush=True)
    os._exit(0)  # the SDK's threads may wait for a server that is closed by now


if __name__ == "__main__":
    main()
