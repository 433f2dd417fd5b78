"""Which of some traces MLflow's online scoring picks, run by a simulated clock over its own SQL store.

python mlflow_online.py   < {"arrivals": [[id, begins, shows, tag], ...], "ticks": [seconds, ...],
                             "rates": {"tag": share, ...}}

Prints, as JSON, how many traces its sampler selects of those that a scorer is about, and how many of them it has
scored in the end, and twice. Its scheduling, filters, sampling, limits and checkpoints are its own; the judges are not
called, so that no model is needed, and the texts of the traces are not loaded for them.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from importlib import import_module, metadata
from types import SimpleNamespace
from typing import Any

START = 1_790_000_000.0


def scorer(tag: str, rate: float, experiment: str) -> Any:
    """An active scorer for traces of that tag."""
    entities = import_module("mlflow.genai.scorers.online.entities")
    made = import_module("mlflow.genai.scorers").Safety(name=f"of_{tag}", model="openai:/none")
    config = entities.OnlineScoringConfig(f"c-{tag}", f"s-{tag}", rate, experiment, f"tag.kind = '{tag}'")
    return entities.OnlineScorer(f"of_{tag}", json.dumps(made.model_dump()), config)


def info(each: list[Any], experiment: str) -> Any:
    """A trace as its store keeps it."""
    kinds = import_module("mlflow.entities")
    where = kinds.TraceLocation.from_experiment_id(experiment)
    at = int((START + each[1]) * 1000)
    return kinds.TraceInfo(f"tr-{each[0]}", where, at, kinds.TraceState.OK, tags={"kind": each[3]})


class Watched:
    """One experiment with its scorers, and what they were given."""

    def __init__(self, folder: str, rates: dict[str, float]) -> None:
        store = import_module("mlflow.store.tracking.sqlalchemy_store").SqlAlchemyStore
        self.store = store(f"sqlite:///{folder}/mlflow.db", folder)
        self.experiment = self.store.create_experiment("traffic")
        scorers = [scorer(tag, rate, self.experiment) for tag, rate in rates.items()]
        processor = import_module("mlflow.genai.scorers.online.trace_processor").OnlineTraceScoringProcessor
        self.processor = processor.create(self.experiment, scorers, self.store)
        self.given: Counter[tuple[str, str]] = Counter()
        self.processor._execute_scoring = self._note
        self.processor._trace_loader.fetch_traces = self._bare

    def _note(self, tasks: dict[str, Any]) -> None:
        for name, task in tasks.items():
            self.given.update((name, each.name) for each in task.scorers if task.trace is not None)

    def _bare(self, names: list[str]) -> list[Any]:
        kinds = import_module("mlflow.entities")
        found = self.store.batch_get_trace_infos(names)
        return [kinds.Trace(info=each, data=kinds.TraceData(spans=[])) for each in found]

    def tick(self, seconds: float) -> None:
        """One pass of the scheduler at that moment."""
        fake = SimpleNamespace(time=lambda: START + seconds)
        for name in ("trace_processor", "trace_checkpointer"):
            vars(import_module(f"mlflow.genai.scorers.online.{name}"))["time"] = fake
        self.processor.process_traces()

    def selected(self, arrivals: list[list[Any]]) -> set[tuple[str, str]]:
        """The pairs of a trace and a scorer that the sampler wants."""
        groups = self.processor._sampler.group_scorers_by_filter(session_level=False)
        return {
            (f"tr-{each[0]}", one.name)
            for each in arrivals
            for one in self.processor._sampler.sample(f"tr-{each[0]}", groups[f"tag.kind = '{each[3]}'"])
        }


def main() -> None:
    """Run what the input says."""
    told = json.load(sys.stdin)
    arrivals = sorted(told["arrivals"], key=lambda each: each[2])
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(folder, told["rates"])
        left = list(arrivals)
        for at in told["ticks"]:
            while left and left[0][2] <= at:
                watched.store.start_trace(info(left.pop(0), watched.experiment))
            watched.tick(at)
    selected = watched.selected(arrivals)
    twice = sum(count > 1 for count in watched.given.values())
    found = {"selected": len(selected), "scored": len(selected & watched.given.keys()), "twice": twice}
    print(json.dumps({**found, "version": metadata.version("mlflow")}))


if __name__ == "__main__":
    main()
