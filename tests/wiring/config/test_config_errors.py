"""Every mistake in a configuration stops the run before any work, with file, line, path, found, expected, nearest."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.core.errors import ConfigError, UsageError
from shared.wiring.build.build_monitor import BuiltMonitor, RunOptions, build_monitor
from shared.wiring.config.find_config import find_config

GOOD = """\
name: errors
source:
  type: file
  path: items.jsonl
  window: all
sampling:
  strategy: random
  n: 10
metrics_config:
  Exact:
    class: exact_match
  Short:
    class: length
    max_chars: 100
"""


LANGFUSE = "{base_url: 'http://127.0.0.1:9', public_key: pk, secret_key: sk}"


def made(tmp_path: Path, text: str, overrides: tuple[str, ...] = ()) -> BuiltMonitor:
    path = tmp_path / "m.yaml"
    path.write_text(text)
    (tmp_path / ".env").touch()  # makes the folder a project of its own
    return build_monitor(path, RunOptions(overrides))


def complaint(tmp_path: Path, old: str, new: str) -> str:
    assert old in GOOD
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, GOOD.replace(old, new))
    return str(caught.value)


def test_the_good_one_is_good(tmp_path: Path) -> None:
    """The file that all mistakes below are made in is itself accepted, and building it writes nothing."""
    built = made(tmp_path, GOOD)
    assert [metric.label for metric in built.metrics] == ["Exact", "Short"]
    assert sorted(each.name for each in tmp_path.iterdir()) == [".env", "m.yaml"]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "exact_match",
            "exact_macth",
            r"m.yaml:11  metrics_config.Exact.class: unknown metric 'exact_macth'.*'exact_match'\?",
        ),
        ("max_chars", "max_char", r"m.yaml:14  metrics_config.Short.max_char: unknown key.*Did you mean 'max_chars'\?"),
        (
            "max_chars: 100",
            "max_chars: lots",
            r"m.yaml:14  .*max_chars: found 'lots' \(a string\); expected an integer",
        ),
        ("  n: 10\n", "", r"m.yaml:6  sampling.*n.*rate"),
        ("n: 10", "n: ten", r"m.yaml:8  sampling.n: found 'ten' \(a string\); expected an integer"),
        ("n: 10", "n: 0", r"m.yaml:8  sampling.n: found 0"),
        ("n: 10", "n: true", r"m.yaml:8  sampling.n: found True \(a boolean\); expected an integer"),
        (
            "strategy: random",
            "strategy: randm",
            r"m.yaml:7  sampling.strategy: unknown sampling strategy 'randm'.*'random'\?",
        ),
        ("  strategy: random\n", "", r"m.yaml:6  sampling: 'strategy' is missing"),
        ("type: file", "type: fiel", r"m.yaml:3  source.type: unknown source 'fiel'.*Did you mean 'file'\?"),
        ("  type: file\n", "", r"m.yaml:2  source.type: 'type' is missing"),
        ("  path: items.jsonl\n", "", r"m.yaml:2  source.path: 'path' is missing"),
        ("  window: all\n", "", r"m.yaml:2  source: no window"),
        ("window: all", "hours_back: 1\n  days_back: 2", r"m.yaml:2  source: .*hours_back.*days_back"),
        ("window: all", "windwo: all", r"m.yaml:5  source.windwo: unknown key 'windwo'.*'window'\?"),
        ("name: errors", "nmae: errors", r"m.yaml:1  nmae: unknown key 'nmae'.*Did you mean 'name'\?"),
        ("name: errors", "name: a/b", r"m.yaml:1  name: expected a name"),
        ("metrics_config:", "metrics_confg:", r"m.yaml:9  metrics_confg: unknown key.*'metrics_config'\?"),
        ("    class: exact_match\n", "    clas: exact_match\n", r"m.yaml:10  metrics_config.Exact: 'class' is missing"),
        ("exact_match", "hit_rate_at_k\n    k: 0", r"m.yaml:12  metrics_config.Exact.k: found 0"),
        (
            "exact_match",
            "citation_presence\n    pattern: '['",
            r"m.yaml:12  .*Exact.pattern: found '\['.*no regular expr",
        ),
        ("max_chars: 100", "sentence_range: [3, 1]", r"m.yaml:14  .*sentence_range: found \[3, 1\]"),
        ("exact_match", "no.such.module:metric", r"m.yaml:11  .*cannot import 'no.such.module'"),
        ("exact_match", "json:dumpz", r"m.yaml:11  .*'json' has no 'dumpz'.*Did you mean 'dump'\?"),
        ("exact_match", "math:pi", r"m.yaml:11  .*cannot be called"),
        (
            "    class: exact_match\n",
            "    class: exact_match\n    timeout: 5\n",
            r"cannot stop a synchronous metric.*blocking",
        ),
        (
            "  window: all\n",
            "  window: all\n  extractor: athena.recomendation\n",
            r"m.yaml:6  source.extractor: unknown extractor",
        ),
        (
            "  window: all\n",
            "  window: all\n  extractor: not_there.module:fn\n",
            r"m.yaml:6  .*cannot import 'not_there.module'",
        ),
    ],
)
def test_each_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, says: str) -> None:
    """File, line, YAML path, what was found, what was expected, and the nearest known name."""
    found = complaint(tmp_path, old, new)
    assert re.search(says, found), found


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ("evaluation: {max_concurent: 3}", r"evaluation.max_concurent: unknown key.*'max_concurrent'\?"),
        ("evaluation: {max_failure_share: 2}", r"evaluation.max_failure_share: found 2"),
        ("evaluation: {thresholds: {Exat: 0.5}}", r"evaluation.thresholds.Exat: unknown label 'Exat'.*'Exact'\?"),
        ("evaluation: {model: {All: {Exact: , Shrt: }}}", r"unknown child 'Shrt'.*Did you mean 'Short'\?"),
        ("evaluation: {model: {All: {Exact: }}, weights: {Exact: 0}}", r"weight of 'Exact': expected a number > 0"),
        ("evaluation: {model: {All: {_strategy: mean, Exact: }}}", r"unknown strategy 'mean'"),
        ("evaluation: {model: {A: {B: [Exact]}, B: {A: }}}", r"tree"),
        ("evaluation: {scoring_strategy: tree}", r"needs `model`"),
        ("evaluation: {scoring_strategy: flat, model: {A: [Exact]}}", r"expected 'tree'"),
        ("scored_store: {type: sqllite}", r"scored_store.type: unknown scored_store 'sqllite'.*'sqlite'\?"),
        ("scored_store: {type: csv, policy: sometimes}", r"scored_store.policy: found 'sometimes'"),
        ("publishing: {push_to_langfuse: true}", r"push_to_langfuse: base_url, public_key, secret_key: not found; set"),
        ("publishing: {trace_experiment: true}", r"publishing.experiment: base_url, .* not found; set the variables"),
        ("publishing: {trace_experiment: true, experiment: {enabled: false}}", r"there is nothing to trace"),
        (
            f"publishing: {{experiment: {{metrics: [Exat]}}, langfuse: {LANGFUSE}}}",
            r"metrics\[0\]: unknown label 'Exat'",
        ),
        (
            f"environment: Live\npublishing: {{push_to_langfuse: true, langfuse: {LANGFUSE}}}",
            r"environment: found 'Live'",
        ),
        (
            f"publishing: {{push_to_langfuse: true, langfuse: {{basis: x, {LANGFUSE[1:]}}}",
            r"langfuse.basis: unknown key",
        ),
        ("publishing: {push_to_db: true}", r"publishing.push_to_db: found true"),
        ("publishing: {metric_names: [Exat]}", r"publishing.metric_names\[0\]: unknown label 'Exat'.*'Exact'\?"),
        ("schedule: {interval_minutes: 5, cron: '0 * * * *'}", r"schedule: expected exactly one .* found both"),
        ("schedule: {cron: 'hourly'}", r"schedule: expected cron with five fields"),
        ("version: ${NOT_SET_ANYWHERE}", r"m.yaml:15  version: the variable NOT_SET_ANYWHERE is not set"),
    ],
)
def test_mistakes_in_the_other_blocks(tmp_path: Path, more: str, says: str) -> None:
    """The blocks after metrics_config are as strict as those before."""
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, GOOD + more + "\n")
    assert re.search(says, str(caught.value)), str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    """Three mistakes need one run to be found, not three."""
    with pytest.raises(ConfigError) as caught:
        made(tmp_path, GOOD.replace("exact_match", "exat").replace("n: 10", "n: ten").replace("max_chars", "maxchars"))
    assert len(caught.value.problems) == 3


def test_numbers_are_good_versions(tmp_path: Path) -> None:
    """`version: 1.2` is what people write; it is a text all the same."""
    assert made(tmp_path, GOOD + "version: 1.2\n").plan.config.version == "1.2"


def test_a_threshold_of_zero_is_a_threshold(tmp_path: Path) -> None:
    """0.0 is not "unset", neither at the metric nor under evaluation.thresholds."""
    built = made(tmp_path, GOOD + "evaluation: {thresholds: {Exact: 0.0}}\n")
    assert built.metrics[0].threshold == 0.0
    assert built.metrics[0].passes(0.0) is True


def test_older_keys_without_effect_are_said(tmp_path: Path) -> None:
    """A setting of the users' older files is accepted, and never dropped in silence."""
    built = made(tmp_path, GOOD + "evaluation: {cache: {enabled: true}, trace_granularity: single}\n")
    assert [note.split()[0] for note in built.notes] == ["evaluation.trace_granularity", "evaluation.cache"]


def test_two_labels_of_one_class_are_two_metrics(tmp_path: Path) -> None:
    """Labels name results: two labels of one class with other parameters have other digests."""
    built = made(tmp_path, GOOD.replace("class: exact_match", "class: length\n    max_chars: 50"))
    assert len({metric.ref.digest for metric in built.metrics}) == 2


def test_defaults_written_out_change_no_digest(tmp_path: Path) -> None:
    """Writing a parameter's default into the YAML scores nothing again."""
    plain = made(tmp_path, GOOD).metrics[0].ref.digest
    spelled = made(tmp_path, GOOD.replace("class: exact_match", "class: exact_match\n    ignore_case: false"))
    assert spelled.metrics[0].ref.digest == plain


def test_an_unknown_config_names_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped configuration's name is answered with the one that was meant."""
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "support.yaml").write_text("")
    (tmp_path / ".env").touch()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'support'"):
        find_config("suport.yaml")
