"""The language models of one configuration, and what a metric's questions pass through on their way to them.

From the inside out: the adapter, the meter (what is paid), the response cache or the recording, the fallbacks, and the
count of what was answered without asking.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from shared.core.errors import TruelineError
from shared.core.model_ports import ResponseCache
from shared.core.ports import LMAdapter
from shared.core.state.batch_store import BatchStore
from shared.llm.adapters.fallback import FallbackAdapter
from shared.llm.adapters.recording import RecordingAdapter
from shared.llm.budget.metered_adapter import CountingAdapter, Meter, MeteredAdapter, UsageAccount
from shared.llm.budget.prices import Price
from shared.llm.cache.caching_adapter import CachingAdapter, PendingCalls
from shared.llm.models.model_handle import ModelHandle, close_all
from shared.llm.models.model_settings import OFFLINE, ModelCommon
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings

MADE_UP = (OFFLINE, "replay")
"""Types of models that answer without a model: nothing is cached, and no tokens are used."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One model: how its adapter is constructed, the name that its server knows, and the server of the batch lane."""

    common: ModelCommon
    construct: Callable[[], LMAdapter]
    served_name: str | None = None
    server: OpenAISettings | None = None


@dataclass(frozen=True, slots=True)
class ModelRun:
    """What models are connected to for one run; without a `cache` every question is asked anew."""

    account: UsageAccount
    cache: ResponseCache | None = None
    batches: BatchStore | None = None


class ModelSet:
    """The models of one configuration. An adapter is constructed when the first metric asks for it."""

    def __init__(self, specs: Mapping[str, ModelSpec], root: Path) -> None:
        self._specs, self._root = specs, root
        self._adapters: dict[str, LMAdapter] = {}
        self._pending_calls = PendingCalls()  # metrics ask equal questions at once, and each has adapters of its own
        self.handles: list[ModelHandle] = []

    def add_handle(self, alias: str, metric: str) -> ModelHandle:
        """The model of that name for a metric.

        Raises:
            ConfigError: when an adapter cannot be constructed.
        """
        name = " > ".join(self.adapter(link).name for link in self.chain(alias))
        self.handles.append(ModelHandle(name, metric, alias))
        return self.handles[-1]

    def chain(self, alias: str) -> list[str]:
        """The model and those that answer in its place, in their order."""
        return [alias, *self._specs[alias].common.fallback]

    @property
    def asked_models(self) -> list[str]:
        """The models that metrics ask, and those that may answer in their place, each once."""
        return list(dict.fromkeys(link for handle in self.handles for link in self.chain(handle.alias)))

    def common(self, alias: str) -> ModelCommon:
        """What every model takes, of this one."""
        return self._specs[alias].common

    def names(self, alias: str) -> tuple[str, ...]:
        """What a model is called: the name that results are recorded under, and the server's where that is another."""
        served = self._specs[alias].served_name
        return tuple(dict.fromkeys([self.adapter(alias).name, *([] if served is None else [served])]))

    def adapter(self, alias: str) -> LMAdapter:
        """The bare adapter of a model.

        Raises:
            ConfigError: when it cannot be constructed.
        """
        if alias not in self._adapters:
            self._adapters[alias] = self._specs[alias].construct()
        return self._adapters[alias]

    def check_connections(self) -> dict[str, str]:
        """What is wrong with each model that some metric asks, or falls back on; empty when it answers."""
        found = dict.fromkeys(self._adapters, "")
        for alias, adapter in self._adapters.items():
            try:
                adapter.test_connection()
            except TruelineError as error:
                found[alias] = str(error)
            finally:
                getattr(adapter, "close", lambda: None)()
        return found

    def open(self, run: ModelRun, price: Callable[[str], Price | None]) -> None:
        """Let the handles answer until `close`."""
        for alias in self._adapters:
            self._use_batch_lane(alias, run.batches)
        for handle in self.handles:
            links = [self._build_link(alias, handle, run, price) for alias in self.chain(handle.alias)]
            whole = links[0] if len(links) == 1 else FallbackAdapter(links)
            handle.connect(CountingAdapter(whole, run.account, handle.metric))

    async def close(self) -> list[str]:
        """Send queued questions and close the connections of this event loop. What went wrong with it."""
        for handle in self.handles:
            handle.connect(None)
        return await close_all("model", self._adapters)

    def batch_notes(self, max_concurrent: int, timeout: float | None) -> list[str]:
        """What does not fit together between the batch lane and the runner."""
        found = []
        for alias, spec in self._specs.items():
            wait = (spec.common.batch or BatchSettings()).wait if spec.common.lane == "batch" else 0.0
            if wait and max_concurrent < 50:
                found.append(
                    f"model {alias!r} waits for batches, and only {max_concurrent} questions are asked at once: raise"
                    " evaluation.max_concurrent, or set batch.wait to 0"
                )
            if wait and timeout is not None and timeout <= wait:
                found.append(
                    f"model {alias!r} waits up to {wait:g} s for batches, and evaluation.timeout is {timeout:g} s: what"
                    " takes longer is a failure; raise it"
                )
        return found

    def recording_notes(self) -> list[str]:
        """Which recordings hold raw text, for a configuration that redacts everything else."""
        text = "texts are not redacted in {!r}, which model {!r} records to: a replay needs them as they were sent"
        return [
            text.format(spec.common.record, alias)
            for alias, spec in self._specs.items()
            if spec.common.record is not None
        ]

    def _use_batch_lane(self, alias: str, batches: BatchStore | None) -> None:
        spec = self._specs[alias]
        if spec.common.lane == "direct" or spec.server is None or batches is None:
            return
        from shared.llm.batch.batch_adapter import BatchAdapter  # late: few configurations use it

        self._adapters[alias] = BatchAdapter(spec.server, spec.common.batch or BatchSettings(), batches)

    def _build_link(
        self, alias: str, handle: ModelHandle, run: ModelRun, price: Callable[[str], Price | None]
    ) -> LMAdapter:
        common, bare = self.common(alias), self.adapter(alias)
        meter = Meter(run.account, handle.metric, price(alias), common.type in MADE_UP)
        metered = MeteredAdapter(bare, meter)
        if common.record is not None:  # what is recorded is asked anew: a recording with holes is of no use
            return RecordingAdapter(metered, self._root / common.record)
        if run.cache is None or not common.cache or common.type in MADE_UP:
            return metered
        return CachingAdapter(metered, run.cache, self._pending_calls)
