"""Exact match over N items with inspect_ai, its log written as it always is; prints microseconds per item. Runs in an
environment of its own."""

import sys
import tempfile
import time

from inspect_ai import Task, eval  # type: ignore[import-not-found]  # installed for the benchmark only
from inspect_ai.dataset import MemoryDataset, Sample  # type: ignore[import-not-found]  # likewise
from inspect_ai.scorer import exact  # type: ignore[import-not-found]  # likewise
from inspect_ai.solver import Generate, TaskState, solver  # type: ignore[import-not-found]  # likewise


@solver
def answered():  # type: ignore[no-untyped-def]  # its types are not here
    """The application under test: its answer is there already."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        state.output.completion = "a"
        return state

    return solve


count = int(sys.argv[1])
samples = [Sample(id=str(i), input="a", target="a") for i in range(count)]
task = Task(dataset=MemoryDataset(samples), solver=answered(), scorer=exact())
with tempfile.TemporaryDirectory() as folder:
    start = time.perf_counter()
    (log,) = eval(task, model="mockllm/model", log_dir=folder, display="none", fail_on_error=True)
    seconds = time.perf_counter() - start
    assert log.status == "success", log.error
print(seconds / count * 1e6)
