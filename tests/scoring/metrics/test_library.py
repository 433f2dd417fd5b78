import inspect
import re
import subprocess
import sys
import types
import typing
from pathlib import Path
from typing import Any

import pytest

from shared.core.model_ports import Embedder
from shared.core.ports import LMAdapter
from shared.core.registry import load
from shared.scoring.metric import BoundMetric, MetricSpec, spec_of, user_parameters
from shared.scoring.metric_library import LIBRARY
from shared.scoring.parameter_types import ProjectFile
from tests.scoring.scored import score_of

DOCS = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", DOCS, re.MULTILINE | re.DOTALL))

EARLIER = {
    "exact_string_match": 0.5,
    "contains_match": 0.5,
    "levenshtein_ratio": 0.2,
    "length_constraint": 1.0,
    "latency": 5.0,
    "citation_presence": 0.5,
    "sentence_bleu": 0.5,
    "hit_rate_at_k": 0.5,
    "precision_at_k": 0.5,
    "recall_at_k": 0.5,
    "ndcg_at_k": 0.5,
    "mean_reciprocal_rank": 0.5,
    "tool_correctness": 0.5,
    "faithfulness": 0.5,
    "answer_relevancy": 0.5,
    "answer_completeness": 0.5,
    "answer_criteria": 0.5,
    "factual_accuracy": 0.8,
    "contextual_precision": 0.5,
    "contextual_recall": 0.5,
    "contextual_relevancy": 0.5,
    "contextual_sufficiency": 0.5,
    "tone_style_consistency": 0.8,
    "conversation_flow": 0.7,
    "goal_completion": 0.5,
}


@pytest.mark.parametrize(("name", "threshold"), EARLIER.items())
def test_names_of_before_keep_their_thresholds(name: str, threshold: float) -> None:
    """A users' config that names no threshold judges as it did."""
    assert spec_of(load(LIBRARY[name])).threshold == threshold


def test_docs_and_library_name_the_same_metrics() -> None:
    """docs/metrics.md has every registered name as a heading, and no other."""
    assert sorted(SECTIONS) == sorted(LIBRARY)


def test_the_table_by_task_links_every_metric() -> None:
    """A reader who scans the table at the top misses no metric."""
    head = DOCS[: DOCS.index("\n## Text\n")]
    assert sorted(re.findall(r"\[`(\w+)`\]\(#\1\)", head)) == sorted(LIBRARY)


WORDS = {"None": "none", "True": "true", "False": "false", repr(inspect.Parameter.empty): "required"}


def same_target(name: str) -> str:
    """All that is written of a metric, under any of its names."""
    return "".join(SECTIONS[each] for each in LIBRARY if LIBRARY[each] == LIBRARY[name])


@pytest.mark.parametrize("name", LIBRARY)
def test_docs_say_parameters_and_defaults(name: str) -> None:
    """Each parameter stands in the docs with its default, the threshold too, and whether it is inverse."""
    text = same_target(name)
    group = DOCS[: DOCS.index(f"### {name}\n")].rpartition("\n## ")[2].partition("\n### ")[0]
    spec = spec_of(load(LIBRARY[name]))
    for each in user_parameters(load(LIBRARY[name])).values():
        shown = WORDS.get(repr(each.default), each.default)
        shown = "required" if each.default is inspect.Parameter.empty and each.name != "model" else shown
        assert re.search(rf"`{each.name}` \({re.escape(str(shown))}", text), each.name
    if spec.threshold is not None:
        assert f"hreshold {spec.threshold:g}" in (text + group).replace("threshold 5.0", "threshold 5").replace(
            "1.0", "1"
        )
    assert ("inverse" in text) == spec.inverse


PLAIN = (int, float, bool, str, type(None), dict, Any, LMAdapter, Embedder, ProjectFile, BoundMetric)
"""Models stand in YAML by their names."""

LONGEST = {"class": 85, "function": 30}
REQUIRED = {
    "cascade": ["cheap", "judge", "low", "high"],
    "format_schema": ["json_schema"],
    "keyword_presence": ["keywords"],
    "regex_match": ["pattern"],
}
"""Parameters for which no default would make sense, besides a judge's model."""


def is_plain(kind: Any) -> bool:
    """Whether a parameter's type can be written in YAML and checked."""
    origin = typing.get_origin(kind)
    if origin is typing.Literal:
        return True
    if origin in (typing.Union, types.UnionType, list, dict):
        return all(is_plain(each) for each in typing.get_args(kind))
    return kind in PLAIN


@pytest.mark.parametrize("name", LIBRARY)
def test_a_metric_is_what_the_config_can_check(name: str) -> None:
    """Parameters of plain types, nearly all with defaults, a version, a first line for `trueline list`."""
    target = load(LIBRARY[name])
    spec = spec_of(target)
    assert isinstance(vars(target)["__metric__"], MetricSpec)
    assert spec.version == "1"
    assert spec.summary.endswith((".", "0")) or ";" in spec.summary
    given = user_parameters(target)
    kinds = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    longest = LONGEST["class" if inspect.isclass(target) else "function"] + len(given)
    assert len(inspect.getsource(target).splitlines()) <= longest
    assert all(is_plain(kinds[each]) for each in given)
    required = [key for key, each in given.items() if each.default is inspect.Parameter.empty and key != "model"]
    assert required == REQUIRED.get(name, [])


LATE = {"regex", "jsonschema", "referencing", "py3langid", "phonenumbers", "onnxruntime", "presidio_analyzer"}


def test_importing_the_metrics_is_cheap() -> None:
    """RapidFuzz, sacreBLEU and the rest are imported by the metric that needs them, when it is called."""
    modules = sorted({path.partition(":")[0] for path in LIBRARY.values()})
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in run.stdout.split()}
    assert not loaded & {"rapidfuzz", "sacrebleu", "pandas", "numpy", "pydantic", "pebble", *LATE}


def test_a_slow_answer_fails() -> None:
    """60 s against a threshold of 5 once passed, because the value was normalised before it was compared."""
    assert [score_of("latency", {"latency": each}).passed for each in (0.0, 4.99, 5.0, 60.0)] == [
        True,
        True,
        False,
        False,
    ]
    assert score_of("latency", {"latency": 60}).value == 60.0
