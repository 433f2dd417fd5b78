"""Exact match over N items with pydantic_evals; prints microseconds per item. Runs in an environment of its own."""

import sys
import time
from dataclasses import dataclass

from pydantic_evals import Case, Dataset  # type: ignore[import-not-found]  # installed for the benchmark only
from pydantic_evals.evaluators import Evaluator, EvaluatorContext  # type: ignore[import-not-found]  # likewise


@dataclass
class Exact(Evaluator):  # type: ignore[misc]  # its base has no types here
    """One when the output is the expected one."""

    def evaluate(self, ctx: EvaluatorContext) -> float:
        """Compare."""
        return float(ctx.output == ctx.expected_output)


def answer(text: str) -> str:
    """The application under test."""
    return text


count = int(sys.argv[1])
cases = [Case(name=str(i), inputs="a", expected_output="a") for i in range(count)]
dataset = Dataset(name="overhead", cases=cases, evaluators=[Exact()])
start = time.perf_counter()
dataset.evaluate_sync(answer, progress=False)
print((time.perf_counter() - start) / count * 1e6)
