"""`prices` and `budget`: what the models of one configuration cost, and how much may be spent on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from shared.core.errors import ConfigError
from shared.core.registry import hint
from shared.llm.budget.ledger import Allowance
from shared.llm.budget.prices import Price, PriceTable
from shared.llm.models.embedder_set import EmbedderSet
from shared.llm.models.model_costs import ModelCosts
from shared.llm.models.model_set import ModelSet
from shared.wiring.config.checker import Checker, describe_value
from shared.wiring.config.monitor_config import MonitorConfig
from shared.wiring.config.yaml_file import read_document


def build_model_costs(
    config: MonitorConfig, models: ModelSet, embedders: EmbedderSet, checker: Checker, root: Path
) -> ModelCosts:
    """Prices and budget; mistakes are noted with the checker, also a budget in dollars for a model without a price."""
    before = len(checker.problems)
    table = PriceTable(_build_prices(config.prices, checker, root))
    wanted = config.budget
    allowance = None
    if wanted is not None:
        allowance = Allowance(wanted.usd, wanted.tokens, wanted.on_over, wanted.per)
    costs = ModelCosts(models, embedders, table, allowance)
    if allowance is not None and allowance.usd is not None and len(checker.problems) == before:
        for name in costs.unpriced_models:
            known = hint(name, table.names) if table.names else "No price is given under `prices`."
            remedy = "Give its price under `prices` or as `price` of the model, or limit tokens instead."
            checker.problem(("budget", "usd"), f"model {name!r} has no price. {known} {remedy}")
    return costs


def _build_prices(given: Mapping[str, object] | str, checker: Checker, root: Path) -> dict[str, Price]:
    if isinstance(given, str):
        return _read_price_file(given, checker, root)
    found = {name: checker.model(Price, value, ("prices", name)) for name, value in given.items()}
    return {name: price for name, price in found.items() if price is not None}


def _read_price_file(path: str, checker: Checker, root: Path) -> dict[str, Price]:
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
