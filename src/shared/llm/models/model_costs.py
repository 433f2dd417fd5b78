"""The models of one configuration with their prices and budget."""

from __future__ import annotations

from dataclasses import dataclass

from shared.core.counts import Information
from shared.llm.budget.ledger import Allowance
from shared.llm.budget.prices import FREE, Price, PriceTable
from shared.llm.models.embedder_set import EmbedderSet
from shared.llm.models.model_handle import EmbedderHandle
from shared.llm.models.model_set import ModelRun, ModelSet
from shared.llm.models.model_settings import OFFLINE

_UNPAID = ("local", "replay", OFFLINE)
"""Types of models that nobody is paid for."""


@dataclass(frozen=True, slots=True)
class ModelCosts:
    """Models and embedding models, what they cost, and how much may be spent on them."""

    models: ModelSet
    embedders: EmbedderSet
    table: PriceTable
    allowance: Allowance | None

    def price(self, alias: str) -> Price | None:
        """The price of a model: its own, that of its type, or the table's; None without."""
        common = self.models.common(alias)
        if common.price is not None:
            return common.price
        return FREE if common.type in _UNPAID else self.table.find(*self.models.names(alias))

    def price_by_name(self, name: str) -> Price | None:
        """The price of a model by the name that results are recorded under."""
        alias = next((each for each in self.models.asked_models if self.models.names(each)[0] == name), None)
        return self.table.find(name) if alias is None else self.price(alias)

    def embedding_price(self, handle: EmbedderHandle) -> Price | None:
        """The price of an embedding model: its own, that of its type, or the table's; None without."""
        common = self.embedders.common(handle.alias)
        if common.price is not None:
            return common.price
        return FREE if common.type == OFFLINE else self.table.find(handle.name)

    @property
    def unpriced_models(self) -> list[str]:
        """The names of the models that metrics ask whose price is not known, each once."""
        found = [self.models.names(alias)[0] for alias in self.models.asked_models if self.price(alias) is None]
        embedders = [each.name for each in self.embedders.handles if self.embedding_price(each) is None]
        return list(dict.fromkeys([*found, *embedders]))

    def notes(self) -> list[str]:
        """A note when costs are only partly known."""
        names = ", ".join(map(repr, self.unpriced_models))
        text = f"no price is known for {names}: tokens are counted, the cost is not"
        return [Information(text)] if names else []

    def open(self, run: ModelRun) -> None:
        """Let every metric's models answer until `close`; what they are asked is counted, and paid from the account."""
        self.models.open(run, self.price)
        self.embedders.open(run.account, self.embedding_price)

    async def close(self) -> list[str]:
        """Close what was opened in this event loop. What went wrong with it."""
        return [*await self.models.close(), *await self.embedders.close()]
