"""Bridges to other people's metrics, without their packages: what is told, what is guarded, and how theirs become ours.

With the real packages they are tested in tests/bridges, each in an environment of its own.
"""

from __future__ import annotations

import asyncio
import atexit
import enum
import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from shared.core.errors import BadAnswer, ConfigError, OverBudget
from shared.core.ports import LMAdapter
from shared.core.records import DatasetItem
from shared.core.results import Score
from shared.scoring.bridges.bridged_metric import BridgedMetric, BridgeSpec, Vendor, make_bridged_metric
from shared.scoring.bridges.bridged_model import BridgeJudge, inline_references, strip_fence
from shared.scoring.bridges.import_guard import vendor_guard
from shared.scoring.judging.ask_judge import REPEAT
from shared.scoring.metric import bind, user_parameters
from shared.wiring.config.registries import build_registries
from tests.bridges.helping import results
from tests.bridges.scripted import Scripted
from tests.wiring.project import Project

LEAKY = '''
import asyncio, atexit, logging, os, signal, sys, threading, warnings

os.environ["LEAKY"] = "1"
os.environ.pop("KEPT", None)
sys.excepthook = threading.excepthook = lambda *arguments: None
sys.stdout = sys.stderr
logging.root.addHandler(logging.NullHandler())
logging.root.setLevel(logging.DEBUG)
logging.disable(logging.CRITICAL)
warnings.simplefilter("error")
signal.signal(signal.SIGTERM, signal.SIG_IGN)
asyncio.run = asyncio.runners.run = lambda main: None
asyncio.added = True
asyncio.BaseEventLoop.run_forever = lambda self: None
asyncio.BaseEventLoop._nest_patched = True
ENVIRONMENT = dict(os.environ)
STOPPED = []
atexit.register(STOPPED.append, "stopped")


def leave():
    STOPPED.append("left")


atexit.register(leave)


class Base:
    """What their metrics derive from."""


class Polite(Base):
    """Says how polite an answer is."""


class Politeness(Base):
    """Says it better."""
'''


@pytest.fixture
def leaky(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    """A library that changes everything it can reach when it is imported."""
    (tmp_path / "leaky.py").write_text(LEAKY)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("KEPT", "1")
    yield Vendor("leaky", "leaky", "leaky-metrics", "leaky", {"LEAKY_TELEMETRY": "off"})
    sys.modules.pop("leaky", None)


def state() -> dict[str, Any]:
    return {
        "environment": dict(os.environ),
        "hooks": (sys.excepthook, threading.excepthook, sys.stdout, sys.stderr),
        "logging": (list(logging.root.handlers), logging.root.level, logging.root.manager.disable),
        "warnings": list(warnings.filters),
        "signal": signal.getsignal(signal.SIGTERM),
        "asyncio": (dict(vars(asyncio)), dict(vars(asyncio.runners)), dict(vars(asyncio.BaseEventLoop))),
    }


def test_an_import_leaves_nothing_behind(leaky: Vendor) -> None:
    """Environment, hooks, streams, logging, warnings, signals and the event loop are what they were."""
    before = state()
    module = leaky.import_module()
    assert state() == before
    assert module.ENVIRONMENT["LEAKY_TELEMETRY"] == "off"
    assert asyncio.run(asyncio.sleep(0, "runs")) == "runs"


def test_exit_hooks_of_the_library_are_run_at_once(leaky: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """They stop its threads and send the rest: better now, with its telemetry off, than later. Others' hooks stay."""
    registered: list[Callable[..., Any]] = []
    monkeypatch.setattr(atexit, "register", lambda function, *arguments: registered.append(function))
    module = leaky.import_module()
    assert module.STOPPED == ["left"]
    assert registered == [module.STOPPED.append]


def test_a_class_is_found_by_name_or_path_and_a_typo_gets_the_nearest(leaky: Vendor) -> None:
    """What is no metric of theirs is not found."""
    base = leaky.import_module().Base

    def is_metric(each: Any) -> bool:
        return isinstance(each, type) and issubclass(each, base) and each is not base

    assert leaky.find("Polite", is_metric) is leaky.find("leaky:Polite", is_metric)
    with pytest.raises(ConfigError, match=r"leaky has no metric 'Politness'.*Did you mean 'Politeness'"):
        leaky.find("Politness", is_metric)
    with pytest.raises(ConfigError, match="is no metric of leaky-metrics"):
        leaky.find("leaky:Base", is_metric)


def test_a_library_that_cannot_be_imported_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of its own code, not a traceback."""
    (tmp_path / "brokenlib.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigError, match="'brokenlib' cannot be imported: ZeroDivisionError"):
        Vendor("b", "brokenlib", "broken", "brokenlib").import_module()


@pytest.mark.parametrize(
    ("name", "package", "needed"),
    [
        ("deepeval:GEval", "deepeval", "'deepeval<5,>=4.3'"),
        (
            "ragas.metrics.collections:Faithfulness",
            "ragas",
            "'instructor<2,>=1.10' 'langchain-community<0.4,>=0.3.27' 'ragas<0.5,>=0.4.3'",
        ),
        ("autoevals:Factuality", "autoevals", "'autoevals<0.5,>=0.4.1'"),
        ("phoenix:FaithfulnessEvaluator", "arize-phoenix-evals", "'arize-phoenix-evals<4,>=3.9'"),
    ],
)
def test_a_missing_package_names_the_cure(
    name: str, package: str, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever names another library's metric without having it is told the one command that helps."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError) as error:
        build_registries().metrics.resolve(name)
    cure = f"metric {name!r}: needs the package {package}: pip install {needed}"
    assert str(error.value) == cure


def test_a_missing_package_is_told_with_the_line(tmp_path: Path) -> None:
    """`check` stops before any work, as for any other mistake in the file."""
    project = Project(tmp_path)
    text = "name: x\nsource: {type: file, name: x, path: items.jsonl, window: all}\nmetrics_config:\n"
    project.write("m.yaml", text + "  A: {class: 'autoevals:Factuality', model: offline}\n")
    done = project.run("check", "m.yaml")
    assert done.returncode == 2
    assert "m.yaml:4" in done.stderr
    assert "needs the package autoevals" in done.stderr


class Mode(enum.Enum):
    """A choice of theirs."""

    LOUD = "loud"
    SOFT = "soft"


class Theirs:
    """A metric of theirs.

    It keeps its result on itself.
    """

    def __init__(
        self,
        words: list[str],
        mode: Mode = Mode.LOUD,
        modes: list[Mode] | None = None,
        threshold: float | None = 0.5,
        client: object = None,
        share: float | None = None,
    ) -> None:
        if not words:
            raise ValueError("no words")
        self.words, self.mode, self.modes, self.share = words, mode, modes, share
        self.score = 0.0


class Ours(BridgedMetric):
    """A bridge as the vendors' are."""

    vendor: ClassVar[Vendor] = Vendor("t", "tests", "tests", "tests", {"QUIET": "1"}, frozenset({"threshold"}))

    def build(self, judge: BridgeJudge) -> Any:
        return self.theirs(**self._params)

    async def measure(self, metric: Any, item: DatasetItem, judge: BridgeJudge) -> Score | None:
        if item.query == "ask":
            metric.score = float((await judge.record("how much?", Answer)).value)
        metric.score = metric.score or float(item.actual_output or "nan")
        await asyncio.sleep(0.001)
        return judge.score(metric.score, metric.mode, {"quiet": os.environ.get("QUIET")})


class Answer:
    """The record that `Ours` asks for; a pydantic model in real life."""

    def __init__(self, value: float) -> None:
        self.value = value

    @staticmethod
    def model_json_schema() -> dict[str, Any]:
        return {"type": "object", "properties": {"value": {"type": "number"}}}

    @classmethod
    def model_validate(cls, raw: Any) -> Answer:
        return cls(raw["value"])


def ours(need: Literal["required", "optional"] | None = None, **params: Any) -> Any:
    return bind(make_bridged_metric(Ours, Theirs, "Theirs", BridgeSpec(need)), "T", {"words": ["a"], **params})


def test_their_parameters_are_ours_by_name_and_type() -> None:
    """Choices are given by their values; objects, hidden and private ones are not for the YAML."""
    made = make_bridged_metric(Ours, Theirs, "Theirs", BridgeSpec("required"))
    kinds = {name: each.annotation for name, each in user_parameters(made).items()}
    assert kinds == {
        "words": list[str],
        "mode": Literal["loud", "soft"],
        "modes": list[Literal["loud", "soft"]] | None,
        "share": float | None,
        "model": LMAdapter,
    }
    assert user_parameters(made)["mode"].default == "loud"


def test_their_objects_get_their_own_choices() -> None:
    """What the YAML gives as a text is theirs again when their object is built."""
    score = results(ours(mode="soft"), [DatasetItem(id="a", actual_output="1")])["a"].scores[0]
    assert score.explanation == "Mode.SOFT"


def test_what_their_constructor_refuses_is_refused_before_any_work() -> None:
    """An object is built once when the metric is bound."""
    with pytest.raises(ValueError, match="no words"):
        ours(words=[])


def test_a_parameter_that_no_yaml_can_give_refuses_the_class() -> None:
    """By its name."""

    class NeedsAnObject:
        def __init__(self, graph: object) -> None:
            """Theirs."""

    with pytest.raises(ConfigError, match="its parameter 'graph' is an object"):
        make_bridged_metric(Ours, NeedsAnObject, "NeedsAnObject", BridgeSpec())


def test_every_item_has_an_object_of_its_own() -> None:
    """Fifty items at once: none has the result of another, though theirs keep it on themselves."""
    items = [DatasetItem(id=str(number), actual_output=str(number / 50)) for number in range(1, 51)]
    found = results(ours(), items)
    assert {key: each.scores[0].value for key, each in found.items()} == {each.id: int(each.id) / 50 for each in items}


def test_telemetry_is_off_while_theirs_runs_and_the_environment_is_as_before_after_it() -> None:
    """The first of the calls that overlap sets the variables, the last one takes them away."""
    before = dict(os.environ)
    found = results(ours(), [DatasetItem(id=str(number), actual_output="1") for number in range(20)])
    assert {str(each.scores[0].signals) for each in found.values()} == {"{'quiet': '1'}"}
    assert dict(os.environ) == before


def test_a_call_that_patches_the_loop_is_undone() -> None:
    """Also when calls overlap: the state before the first of them is what comes back."""
    hook, run = sys.excepthook, asyncio.run
    with vendor_guard({"A_VARIABLE": "1"}):
        sys.excepthook = print
        with vendor_guard({}):
            asyncio.run = None  # type: ignore[assignment]  # as nest_asyncio does
        assert asyncio.run is None
    assert (sys.excepthook, asyncio.run) == (hook, run)
    assert "A_VARIABLE" not in os.environ


def test_cost_is_added_up_and_unknown_where_one_price_is() -> None:
    """A model without a price makes the cost unknown, never too low."""
    item = DatasetItem(id="a", query="ask")
    for price, cost in ((0.25, 0.25), (None, None)):
        model = Scripted([("much", {"value": 0.5})], price=price)
        score = results(ours("required", model=model), [item])["a"].scores[0]
        assert (score.value, score.cost, score.model) == (0.5, cost, "scripted")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("nice", "the judge answered with 'nice'; expected JSON"),
        ('{"other": 1}', "the judge's JSON does not fit Answer"),
        (BadAnswer("cut off"), "cut off"),
    ],
)
def test_an_answer_that_cannot_be_used_is_a_failure(answer: str | Exception, told: str) -> None:
    """With what came instead."""
    metric = ours("required", model=Scripted([("", answer)]))
    failure = results(metric, [DatasetItem(id="a", query="ask")])["a"].failures[0]
    assert failure.kind == "BadAnswer"
    assert told in failure.message


def test_a_metric_that_asks_without_a_model_says_so() -> None:
    """An optional model that is needed after all is a mistake in the configuration."""
    with pytest.raises(ConfigError, match="give it `model`"):
        results(ours("optional", model=None), [DatasetItem(query="ask")])


def test_a_repeated_vote_is_set_apart_from_the_cached_one() -> None:
    """As for our own judges: the mark of an anchor's vote is part of what makes two questions equal."""
    model = Scripted([("much", {"value": 0.5})])
    item = DatasetItem(id="a", query="ask")
    results(ours("required", model=model), [item])
    before = REPEAT.set("1")
    results(ours("required", model=model), [item])
    REPEAT.reset(before)
    assert [asked.get("input_data") for asked in model.params] == [None, {"repeat": "1"}]


def test_an_ended_budget_is_raised_though_theirs_caught_it() -> None:
    """A judge remembers what is final."""

    async def caught() -> None:
        judge = BridgeJudge(Scripted([("", OverBudget("spent"))]))
        with pytest.raises(OverBudget):
            await judge.answer("one")
        judge.bad("and then something else")
        with pytest.raises(OverBudget, match="spent"):
            judge.raise_final()

    asyncio.run(caught())


def test_a_rounding_error_is_not_out_of_range() -> None:
    """A cosine of 1.0000000000000002 is 1; a value of 1.1 stays wrong."""
    found = results(ours(), [DatasetItem(id="a", actual_output="1.0000000000000002")])
    assert found["a"].scores[0].value == 1.0
    assert results(ours(), [DatasetItem(id="b", actual_output="1.1")])["b"].failures[0].kind == "OutOfRange"


def test_references_of_a_schema_are_put_in_their_place() -> None:
    """Adapters that know no `$ref` can keep to it; one that refers to itself stays as it is."""
    schema = {"$defs": {"V": {"type": "string"}}, "type": "array", "items": {"$ref": "#/$defs/V", "title": "v"}}
    assert inline_references(schema) == {"type": "array", "items": {"type": "string", "title": "v"}}
    endless = {"$defs": {"V": {"items": {"$ref": "#/$defs/V"}}}, "$ref": "#/$defs/V"}
    assert inline_references(endless) == endless


def test_a_fence_is_taken_off() -> None:
    """With or without a language."""
    assert strip_fence('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert strip_fence(' {"a": 1} ') == '{"a": 1}'
