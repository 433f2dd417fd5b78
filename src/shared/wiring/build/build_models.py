"""The `models:` block: language models by name, given to the metrics that ask for one.

An adapter is made when the configuration is checked, so that its mistakes are told then; it is asked only while a run
has the block open. A metric's model is, from the inside out: the adapter, the response cache (or the recording), the
declared fallbacks, and the account of what was asked.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from shared.core.errors import ConfigError, TruelineError
from shared.core.model_ports import ForgettingAdapter, ResponseCache
from shared.core.ports import LMAdapter, Prompt
from shared.core.registry import Registry, hint
from shared.core.results import LMResult
from shared.core.state.batch_store import BatchStore
from shared.llm.adapters.fallback import FallbackAdapter
from shared.llm.adapters.input_data_filter import InputDataFilter
from shared.llm.adapters.recording import RecordingAdapter
from shared.llm.budget.prices import Price
from shared.llm.cache.caching_adapter import CachingAdapter, PendingCalls
from shared.llm.openai.server_settings import BatchSettings, OpenAISettings
from shared.wiring.config.checker import Checker, StrictModel
from shared.wiring.config.registry_entries import PartRecipe, find_recipe, split_entry
from shared.wiring.config.yaml_file import Where

OFFLINE = "offline"
"""A model that every configuration has: marked answers, made up."""

_NOT_REMEMBERED = (OFFLINE, "replay")


class ModelCommon(StrictModel):
    """What every entry of `models` takes besides its adapter's own parameters."""

    type: str = Field(description="the adapter: openai_compatible, local, replay, offline, or package.module:attr")
    fallback: list[str] = Field(default_factory=list, description="models that answer, in turn, while it is out")
    record: str | None = Field(default=None, description="a JSONL file that every answer is written to, for replay")
    cache: bool = Field(default=True, description="answer equal questions from the response cache")
    lane: Literal["direct", "batch"] = Field(default="direct", description="batch: the provider's batch API, cheaper")
    batch: BatchSettings | None = Field(default=None, description="how the batch lane gathers and waits")
    price: Price | None = Field(default=None, description="input, cached_input, output: US dollars per million tokens")


class ModelHandle:
    """The model of one metric. Made before anything is open; it answers while the block is open."""

    def __init__(self, name: str, metric: str, alias: str) -> None:
        self.name = name
        self.metric, self.alias = metric, alias
        self.inner: LMAdapter | None = None

    def attach(self, inner: LMAdapter | None) -> None:
        """Answer with this from now on; None: answer no more."""
        self.inner = inner

    async def complete(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """See `LMAdapter`."""
        return await self._open.complete(prompt, max_tokens, **params)

    def complete_with_logprobs(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> LMResult:
        """See `LMAdapter`."""
        return self._open.complete_with_logprobs(prompt, max_tokens, **params)

    def stream(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> AsyncIterator[str]:
        """See `LMAdapter`."""
        return self._open.stream(prompt, max_tokens, **params)

    def forget(self, prompt: Prompt, max_tokens: int = 256, **params: Any) -> None:
        """See `ForgettingAdapter`."""
        if isinstance(self._open, ForgettingAdapter):
            self._open.forget(prompt, max_tokens, **params)

    def list_models(self) -> list[str]:
        """See `LMAdapter`."""
        return self._open.list_models()

    def test_connection(self) -> None:
        """See `LMAdapter`."""
        self._open.test_connection()

    @property
    def _open(self) -> LMAdapter:
        if self.inner is None:
            raise ConfigError(f"model {self.alias!r}: it can be asked only while its monitor runs")
        return self.inner


Around = Callable[[LMAdapter, ModelHandle, str], LMAdapter]
"""What is put around an adapter for one metric, such as an account of what it is asked; with the model's name in the
configuration (of a chain's links, their own).
"""


def _nothing(adapter: LMAdapter, handle: ModelHandle, alias: str) -> LMAdapter:
    return adapter


class Models:
    """The models of one configuration. Those that no metric asks for are checked and not made."""

    def __init__(
        self, entries: Mapping[str, Mapping[str, Any]], registry: Registry, checker: Checker, root: Path
    ) -> None:
        self._entries, self._registry, self._checker, self._root = entries, registry, checker, root
        self.common: dict[str, ModelCommon] = {}
        self._adapters: dict[str, LMAdapter | None] = {}
        self.handles: list[ModelHandle] = []
        self._recipes: dict[str, PartRecipe | None] = {}
        self._under_way = PendingCalls()  # metrics ask equal questions at once, and each has adapters of its own
        for alias, entry in entries.items():
            self._check(alias, entry)
        for alias, common in self.common.items():
            self._check_chain(alias, common)

    def handle(self, alias: str, metric: str, where: Where) -> ModelHandle | None:
        """The model of that name for a metric, or None after noting what is wrong with it."""
        if alias != OFFLINE and alias not in self._entries:
            known = hint(alias, [*self._entries, OFFLINE])
            self._checker.problem(where, f"unknown model {alias!r}; expected a name under `models`. {known}")
            return None
        names = []
        for link in self.chain(alias):
            adapter = self._adapter(link)
            if adapter is None:
                return None
            names.append(adapter.name)
        made = ModelHandle(" > ".join(names), metric, alias)
        self.handles.append(made)
        return made

    def chain(self, alias: str) -> list[str]:
        """The model and those that answer in its place, in their order."""
        return [alias, *(self.common[alias].fallback if alias in self.common else ())]

    def kind(self, alias: str) -> str:
        """The `type` of a model."""
        return self.common[alias].type if alias in self.common else OFFLINE

    def names(self, alias: str) -> tuple[str, ...]:
        """What a model is called: the name that results are recorded under, and the server's where that is another."""
        served = self._entries.get(alias, {}).get("model")
        return tuple(dict.fromkeys([self.adapter(alias).name, *([served] if isinstance(served, str) else [])]))

    def connections(self) -> dict[str, str]:
        """What each model that some metric asks, or falls back on, says when it is tried: empty when it answers."""
        found = dict.fromkeys(self._adapters, "")
        for alias in found:
            adapter = self.adapter(alias)
            try:
                adapter.test_connection()
            except TruelineError as error:
                found[alias] = str(error)
            finally:
                getattr(adapter, "close", lambda: None)()
        return found

    def adapter(self, alias: str) -> LMAdapter:
        """The bare adapter of a model that some metric asks for."""
        made = self._adapters[alias]
        assert made is not None
        return made

    def open(
        self,
        cache: ResponseCache | None = None,
        batches: BatchStore | None = None,
        inside: Around = _nothing,
        outside: Around = _nothing,
    ) -> None:
        """Let the handles answer. `inside` stands around each bare adapter (what is paid), `outside` around all of it
        (what was asked); without a `cache` nothing is remembered. `batches` remembers what the batch lane has asked.
        """
        for alias in self._adapters:
            self._take_lane(alias, batches)
        for handle in self.handles:
            links = [self._link(alias, handle, cache, inside) for alias in self.chain(handle.alias)]
            whole = links[0] if len(links) == 1 else FallbackAdapter(links)
            handle.attach(outside(whole, handle, handle.alias))

    async def close(self) -> list[str]:
        """End it: queued questions are sent, and the connections of this event loop closed. What went wrong with it."""
        for handle in self.handles:
            handle.attach(None)
        closing = {alias: getattr(each, "aclose", None) for alias, each in self._adapters.items()}
        told = []
        for alias, close in closing.items():
            try:
                await close() if close is not None else None
            except TruelineError as error:
                told.append(f"model {alias!r}: {error}")
        return told

    def notes(self, max_concurrent: int, timeout: float | None) -> list[str]:
        """What does not fit together between the batch lane and the runner."""
        found = []
        for alias, common in self.common.items():
            wait = (common.batch or BatchSettings()).wait if common.lane == "batch" else 0.0
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

    def recordings(self) -> tuple[str, ...]:
        """What is written down as it is, said where raw text is to stay inside."""
        told = "texts are not redacted in {!r}, which model {!r} records to: a replay needs them as they were sent"
        return tuple(told.format(each.record, alias) for alias, each in self.common.items() if each.record is not None)

    def _take_lane(self, alias: str, batches: BatchStore | None) -> None:
        """Ask a model of the batch lane by batch from now on."""
        common = self.common.get(alias)
        if common is None or common.lane == "direct" or batches is None:
            return
        from shared.llm.batch.batch_adapter import BatchAdapter  # late: few configurations use it

        how = self._recipes[alias]
        assert how is not None and isinstance(how.params, OpenAISettings)
        self._adapters[alias] = BatchAdapter(how.params, common.batch or BatchSettings(), batches)

    def _link(self, alias: str, handle: ModelHandle, cache: ResponseCache | None, inside: Around) -> LMAdapter:
        common = self.common.get(alias) or ModelCommon(type=OFFLINE)
        bare = self.adapter(alias)
        made = inside(InputDataFilter(bare) if common.type != "replay" else bare, handle, alias)
        if common.record is not None:  # what is recorded is asked anew: a recording with holes is of no use
            return RecordingAdapter(made, self._root / common.record)
        if cache is None or not common.cache or common.type in _NOT_REMEMBERED:
            return made
        return CachingAdapter(made, cache, self._under_way)

    def _check(self, alias: str, entry: Mapping[str, Any]) -> None:
        where: Where = ("models", alias)
        found = split_entry(self._checker, ModelCommon, entry, where)
        if found is None:
            return
        common = self.common[alias] = found.common
        if common.lane == "batch" and common.type != "openai_compatible":
            self._checker.problem((*where, "lane"), f"'batch' is for type openai_compatible, found {common.type!r}")
        if common.batch is not None and common.lane != "batch":
            self._checker.problem((*where, "batch"), "has an effect with lane: batch only; add it or take this away")
        how = find_recipe(self._checker, self._registry, common.type, found.own, where)
        self._recipes[alias] = None if how is None else how.with_root(self._root)

    def _check_chain(self, alias: str, common: ModelCommon) -> None:
        for at, other in enumerate(common.fallback):
            where: Where = ("models", alias, "fallback", at)
            if other == alias:
                self._checker.problem(where, f"{alias!r} cannot answer in its own place; name another model")
            elif other != OFFLINE and other not in self._entries:
                known = hint(other, [*(name for name in self._entries if name != alias), OFFLINE])
                self._checker.problem(where, f"unknown model {other!r}. {known}")

    def _adapter(self, alias: str) -> LMAdapter | None:
        if alias not in self._adapters:
            self._adapters[alias] = self._checker.guard(("models", alias), lambda: self._made(alias))
        return self._adapters[alias]

    def _made(self, alias: str) -> LMAdapter | None:
        if alias == OFFLINE and alias not in self._entries:
            made: LMAdapter = self._registry.resolve(OFFLINE)()
            return made
        how = self._recipes.get(alias)
        if how is None:
            return None  # its mistake is noted already
        made = how.made()
        return made
