"""Judges and cascades in a configuration: metrics inside a metric, with their mistakes told where they stand."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import pytest

from shared.core.errors import ConfigError
from shared.core.results import MetricScore
from shared.scoring.metric import BoundMetric
from shared.scoring.metric_library import LIBRARY
from shared.wiring.build.build_monitor import BuiltMonitor, build_monitor
from tests.wiring.project import Project

JUDGES = [name for name, target in LIBRARY.items() if ".judge_" in target]
GOOD = """\
name: nested
source: {type: file, name: nested, path: items.jsonl, window: all}
models:
  made_up: {type: offline}
metrics_config:
  Grounded:
    class: cascade
    low: 0.3
    high: 0.7
    audit: 0.5
    cheap:
      class: exact_match
    judge:
      class: answer_completeness
      model: made_up
  Tone:
    class: tone
    model: made_up
    expected: warm
"""


def made(folder: Path, text: str) -> BuiltMonitor:
    (folder / "m.yaml").write_text(text)
    (folder / ".env").touch()
    return build_monitor(folder / "m.yaml")


def metric(built: BuiltMonitor, label: str) -> BoundMetric:
    return next(each for each in built.metrics if each.label == label)


def test_parts_are_built_under_the_outer_label(tmp_path: Path) -> None:
    """Their models are named and counted under it, their thresholds are the outer one's default."""
    found = metric(made(tmp_path, GOOD), "Grounded")
    cheap, judge = found.params["cheap"], found.params["judge"]
    assert (cheap.label, judge.label) == ("Grounded.cheap", "Grounded.judge")
    assert judge.params["model"].metric == "Grounded.judge"
    assert found.threshold == judge.threshold == 0.5


def test_a_changed_part_is_another_metric(tmp_path: Path) -> None:
    """Scores of the two are never taken for one another."""
    changed = GOOD.replace("class: exact_match", "class: exact_match\n      ignore_case: true")
    digests = [metric(made(tmp_path, text), "Grounded").ref.digest for text in (GOOD, GOOD, changed)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("exact_match", "exact_macth", r"m.yaml:12  metrics_config.Grounded.cheap.class: unknown metric 'exact_macth'"),
        ("      class: exact_match", "      ignore_case: true", r"Grounded.cheap: 'class' is missing"),
        ("      model: made_up\n  Tone", "      modle: x\n  Tone", r"Grounded.judge.modle: unknown key 'modle'"),
        (
            "      model: made_up\n  Tone",
            "      model: made\n  Tone",
            r"m.yaml:15 .*judge.model: unknown model",
        ),
        ("    audit: 0.5", "    audit: 0.0", r"m.yaml:10  metrics_config.Grounded.audit: found 0.0"),
        ("    low: 0.3", "    low: 0.9", r"Grounded: found low 0.9 above high 0.7"),
        ("      class: exact_match", "      class: latency", r"Grounded: cheap: 'latency' passes below its threshold"),
        (
            "      class: exact_match",
            "      class: exact_match\n      threshold: 1.0",
            r"cheap.threshold: .*no effect",
        ),
        ("    cheap:\n      class: exact_match", "    cheap: exact_match", r"Grounded.cheap: found 'exact_match'"),
        ("expected: warm", "expected: ' '", r"metrics_config.Tone.expected: found ' '"),
    ],
)
def test_mistakes_in_a_part_are_told_where_they_stand(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ConfigError) as told:
        made(tmp_path, GOOD.replace(old, new))
    assert re.search(says, str(told.value)), told.value


def test_a_node_above_two_cascades_is_refused(tmp_path: Path) -> None:
    """Neither its mean nor its rate could be unbiased."""
    twice = GOOD.replace(
        "  Tone:\n", "  Second:\n" + GOOD.partition("  Grounded:\n")[2].partition("  Tone:")[0] + "  Tone:\n"
    )
    tree = "evaluation:\n  model:\n    Top: {Mid: {Grounded: {}, Tone: {}}, Second: {}}\n"
    assert len(made(tmp_path, twice + tree.replace("Second: {}", "Tone: {}")).nodes) == 2
    with pytest.raises(ConfigError, match=r"evaluation\.model\.Top: 'Grounded', 'Second' judge by chance"):
        made(tmp_path, twice + tree)


@pytest.mark.parametrize("name", JUDGES)
def test_every_judge_can_be_given_in_yaml(tmp_path: Path, name: str) -> None:
    """By its name and a model alone, with limits where wanted."""
    entry = f"  J: {{class: {name}, model: made_up, max_tokens: 300, max_entries: 5, max_chars: 900}}\n"
    found = metric(made(tmp_path, GOOD.partition("  Grounded")[0] + entry), "J")
    assert found.is_async
    assert found.params["max_entries"] == 5


def test_lists_of_a_judge_are_lists_in_yaml(tmp_path: Path) -> None:
    entry = "  J: {class: answer_criteria, model: made_up, criteria: [Is short., Is kind.]}\n"
    found = metric(made(tmp_path, GOOD.partition("  Grounded")[0] + entry), "J")
    assert list(found.params["criteria"]) == ["Is short.", "Is kind."]


def test_a_run_keeps_proxy_and_chance_and_check_shows_the_parts(tmp_path: Path) -> None:
    """From the YAML to the database: some items judged, some not, and an estimate over all."""
    project = Project(tmp_path)
    rows = [{"id": f"i{n}", "query": "Why?", "actual_output": f"a{n % 2}", "expected_output": "a1"} for n in range(40)]
    project.write("items.jsonl", "\n".join(map(json.dumps, rows)) + "\n")
    project.write("m.yaml", GOOD)
    report = project.report()
    assert (report["counts"]["scored"], report["counts"]["failures"]) == (40, 0)
    with sqlite3.connect(tmp_path / "data" / "state" / "trueline.db") as connection:
        found = connection.execute("select proxy, chance, model from scores where label = 'Grounded'").fetchall()
        others = connection.execute("select distinct proxy, chance from scores where label = 'Tone'").fetchall()
    assert {(proxy, chance) for proxy, chance, _ in found} == {(0.0, 0.5), (1.0, 0.5)}
    assert 8 < sum(model == "offline" for _, _, model in found) < 32
    assert others == [(None, None)]
    shown = json.loads(project.run("check", "m.yaml", "--json").stdout)["metrics"][0]["params"]
    assert shown["cheap"] == {"class": "exact_match", "strip": True, "ignore_case": False, "normalize": False}
    assert (shown["judge"]["class"], shown["judge"]["model"]) == ("answer_completeness", "made_up")


def test_the_fields_of_a_row_have_their_names() -> None:
    """What a table or a sink may rely on."""
    assert MetricScore._fields[-2:] == ("proxy", "chance")
