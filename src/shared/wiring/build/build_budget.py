"""`prices` and `budget`: what the models of one configuration cost, and how much may be spent on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.core.errors import ConfigError
from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.registry import hint
from shared.llm.budget.ledger import Allowance
from shared.llm.budget.metered_adapter import CountingAdapter, Meter, MeteredAdapter, UsageAccount
from shared.llm.budget.metered_embedder import MeteredEmbedder
from shared.llm.budget.prices import FREE, Price, PriceTable
from shared.wiring.build.build_embeddings import EmbedderHandle, Embeddings
from shared.wiring.build.build_models import OFFLINE, ModelHandle, Models
from shared.wiring.config.checker import Checker, describe_value
from shared.wiring.config.monitor_config import MonitorConfig
from shared.wiring.config.yaml_file import read_document

_UNPAID = ("local", "replay", OFFLINE)
"""Types of models that nobody is paid for."""


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """What one configuration's models cost, and its budget."""

    models: Models
    embeddings: Embeddings
    table: PriceTable
    allowance: Allowance | None

    def price(self, alias: str) -> Price | None:
        """The price of a model that some metric asks for: its own, that of its type, or the table's; None without."""
        own = self.models.common[alias].price if alias in self.models.common else None
        if own is not None:
            return own
        return FREE if self.models.kind(alias) in _UNPAID else self.table.find(*self.models.names(alias))

    def price_of(self, name: str) -> Price | None:
        """The price of a model by the name that results are recorded under."""
        alias = next((each for each in self.asked if self.models.names(each)[0] == name), None)
        return self.table.find(name) if alias is None else self.price(alias)

    @property
    def asked(self) -> list[str]:
        """The models that metrics ask, and those that may answer in their place, each once."""
        return list(dict.fromkeys(link for handle in self.models.handles for link in self.models.chain(handle.alias)))

    @property
    def unpriced(self) -> list[str]:
        """The names of those of them whose price is not known, and of embedding models."""
        found = [self.models.names(alias)[0] for alias in self.asked if self.price(alias) is None]
        return [*found, *(each.name for each in self.embeddings.handles if self.embedding_price(each) is None)]

    def embedding_price(self, handle: EmbedderHandle) -> Price | None:
        """The price of an embedding model: its own, that of its type, or the table's; None without."""
        common = self.embeddings.common.get(handle.alias)
        own = None if common is None else common.price
        if own is not None:
            return own
        return FREE if self.embeddings.kind(handle.alias) == OFFLINE else self.table.find(handle.name)

    def paid(self, account: UsageAccount) -> Callable[[EmbedderHandle], Embedder]:
        """What stands around a metric's embedding model: it reserves, pays and counts."""

        def around(handle: EmbedderHandle) -> Embedder:
            free = self.embeddings.kind(handle.alias) == OFFLINE
            return MeteredEmbedder(handle.bare, Meter(account, handle.metric, self.embedding_price(handle), free))

        return around

    def inside(self, account: UsageAccount) -> Any:
        """What stands around each bare adapter: it reserves, pays and counts."""

        def around(adapter: LMAdapter, handle: ModelHandle, alias: str) -> LMAdapter:
            meter = Meter(account, handle.metric, self.price(alias), self.models.kind(alias) in (OFFLINE, "replay"))
            return MeteredAdapter(adapter, meter)

        return around

    def outside(self, account: UsageAccount) -> Any:
        """What stands around a metric's whole model: it counts what was answered from memory."""

        def around(adapter: LMAdapter, handle: ModelHandle, alias: str) -> LMAdapter:
            return CountingAdapter(adapter, account, handle.metric)

        return around


def build_model_costs(
    config: MonitorConfig, models: Models, embeddings: Embeddings, checker: Checker, root: Path
) -> ModelCosts:
    """Prices and budget; mistakes are noted with the checker, also a budget in dollars for a model without a price."""
    before = len(checker.problems)
    table = PriceTable(_prices(config.prices, checker, root))
    wanted = config.budget
    allowance = None
    if wanted is not None:
        allowance = Allowance(wanted.usd, wanted.tokens, wanted.on_over, wanted.per)
    money = ModelCosts(models, embeddings, table, allowance)
    if allowance is not None and allowance.usd is not None and len(checker.problems) == before:
        for name in dict.fromkeys(money.unpriced):
            known = hint(name, table.names) if table.names else "No price is given under `prices`."
            cure = "Give its price under `prices` or as `price` of the model, or limit tokens instead."
            checker.problem(("budget", "usd"), f"model {name!r} has no price. {known} {cure}")
    return money


def price_notes(money: ModelCosts) -> list[str]:
    """What must be said of a configuration whose costs are only partly known."""
    names = ", ".join(map(repr, dict.fromkeys(money.unpriced)))
    return [f"no price is known for {names}: tokens are counted, the cost is not"] if names else []


def _prices(given: Mapping[str, Any] | str, checker: Checker, root: Path) -> dict[str, Price]:
    if isinstance(given, str):
        return _read(given, checker, root)
    found = {name: checker.model(Price, value, ("prices", name)) for name, value in given.items()}
    return {name: price for name, price in found.items() if price is not None}


def _read(path: str, checker: Checker, root: Path) -> dict[str, Price]:
    """The prices of a file of their own: a mapping from names to prices."""
    try:
        document = read_document(root / path, path, {}, ())
    except ConfigError as error:
        checker.problem(("prices",), str(error))
        return {}
    inner = Checker(document)
    found: dict[str, Price] = {}
    for name, value in document.data.items():
        price = inner.model(Price, value, (name,)) if isinstance(value, dict) else None
        if price is not None:
            found[name] = price
        elif not isinstance(value, dict):
            inner.problem(
                (name,), f"found {describe_value(value)}; expected input and output, in US dollars a million tokens"
            )
    checker.problems.extend(inner.problems)
    return found
