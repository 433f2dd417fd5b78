"""What the metrics on meaning, form, words and safety cost, and how well refusals are found.

    python benchmarks/judges/metrics_speed.py

Time of CPU per item: the metric's own call on answers of about 40, 250 and 5,000 characters, one after another.
Embeddings: texts a second of CPU, the offline model on one thread. Refusals: recall and precision on
`tests/scoring/metrics/refusals.txt`, which was written beside the patterns: it shows what they are meant to do and what
they miss, and is no estimate for anybody's traffic.
"""

from __future__ import annotations

import asyncio
import inspect
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from shared.core.records import DatasetItem
from shared.core.registry import load
from shared.llm.adapters.offline_embeddings import OfflineEmbedder
from shared.scoring.metric import bind
from shared.scoring.metric_library import LIBRARY

ROOT = Path(__file__).resolve().parents[2]
SENTENCE = "Your claim was approved; we pay $1,250 within five days. "
ANSWERS = {"40": SENTENCE[:40], "250": (SENTENCE * 5)[:250], "5,000": (SENTENCE * 100)[:5_000]}
SECONDS = 0.3

METRICS: dict[str, dict[str, Any]] = {
    "format_json": {},
    "format_schema": {"json_schema": {"type": "object"}},
    "format_markdown": {},
    "format_length": {"max_tokens": 100},
    "keyword_presence": {"keywords": ["approved", "within five days", "declined"]},
    "keyword_absence": {"keywords": ["guarantee", "lawyer"]},
    "regex_match": {"pattern": r"\$[\d,]+"},
    "language": {"expected": "en"},
    "pii_presence": {},
    "refusal": {},
    "delta_surprise": {},
}


def microseconds(work: Callable[[], object]) -> float:
    """Mean time of CPU of one call, after a first one that loads what is loaded late."""
    work()
    calls, started = 0, time.process_time()
    while time.process_time() - started < SECONDS:
        work()
        calls += 1
    return (time.process_time() - started) / calls * 1e6


def called(name: str, params: dict[str, Any], item: DatasetItem) -> Callable[[], object]:
    """One call of a metric on an item; a coroutine's is driven to its end, which is at once without a model."""
    call = bind(load(LIBRARY[name]), name, params).call

    def work() -> object:
        answer = call(item)
        if not inspect.iscoroutine(answer):
            return answer
        try:
            answer.send(None)
        except StopIteration as done:
            return done.value
        raise AssertionError("the metric waits for something")

    return work


def main() -> None:
    """Print the three tables."""
    print(f"{'microseconds an item':20}" + "".join(f"{size + ' chars':>14}" for size in ANSWERS))
    for name, params in METRICS.items():
        more = {"token_logprobs": [-0.5] * 50, "metadata": {"previous_token_logprobs": [-0.75] * 50}}
        items = [DatasetItem.from_dict({"id": "i", "actual_output": text} | more) for text in ANSWERS.values()]
        print(f"{name:20}" + "".join(f"{microseconds(called(name, params, item)):14.1f}" for item in items))

    started = time.perf_counter()
    model = OfflineEmbedder()
    print(f"\noffline embeddings: loaded in {time.perf_counter() - started:.2f} s")
    for size, text in ANSWERS.items():
        taken = microseconds(lambda text=text: model.vectors([text]))  # type: ignore[misc]  # bound now, not later
        print(f"  {size:>5} characters: {1e6 / taken:8.1f} texts/s")
    similarity = bind(load(LIBRARY["embedding_similarity"]), "near", {"embedding": model})
    item = DatasetItem(id="i", actual_output=ANSWERS["250"], expected_output=ANSWERS["40"])

    async def once() -> None:
        await similarity.call(item)  # type: ignore[misc]  # what applies to the item is awaited

    print(f"  embedding_similarity, 250 against 40: {microseconds(lambda: asyncio.run(once())) / 1000:.1f} ms an item")

    sys.path.insert(0, str(ROOT))
    from tests.scoring.metrics.refused import measured

    found = measured()
    print(f"\nrefusal: {found.refusals} refusals and {found.others} other answers: ", end="")
    print(f"recall {found.recall:.3f}, precision {found.precision:.3f}")


if __name__ == "__main__":
    main()
