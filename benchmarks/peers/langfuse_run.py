"""Exact match over N items with langfuse.run_experiment, tracing off; prints microseconds per item."""

import logging
import sys
import time
from typing import Any

from langfuse import Evaluation, Langfuse  # type: ignore[import-not-found]  # installed for the benchmark only

logging.disable(logging.CRITICAL)


def answer(*, item: Any, **_: Any) -> str:
    """The application under test."""
    return str(item["input"])


def exact(*, output: str, expected_output: str, **_: Any) -> Any:
    """One when the output is the expected one."""
    return Evaluation(name="exact", value=float(output == expected_output))


count = int(sys.argv[1])
client = Langfuse(public_key="pk", secret_key="sk", host="http://127.0.0.1:9", tracing_enabled=False)
data = [{"input": "a", "expected_output": "a"} for _ in range(count)]
start = time.perf_counter()
client.run_experiment(name="overhead", data=data, task=answer, evaluators=[exact])
print((time.perf_counter() - start) / count * 1e6)
