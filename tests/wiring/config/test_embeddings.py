"""`embeddings:` in a configuration: metrics are given the embedding model they name."""

from __future__ import annotations

import json
from pathlib import Path

from tests.llm.fake_openai import standing_in
from tests.wiring.project import Project

CONFIG = """\
name: meaning
source: {{type: file, name: meaning, path: items.jsonl, window: all}}
{block}
metrics_config:
  Likeness: {{class: embedding_similarity{more}}}
"""


def test_the_offline_model_is_the_default(tmp_path: Path) -> None:
    """Without any entry the meaning of texts is compared on this machine; equal texts are as like as can be."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG.format(block="", more=""))
    assert project.report()["counts"]["scored"] == 8
    found = {item: value for item, _, value in project.scores()}
    assert found["i1"] > 0.999
    assert all(0 <= value <= 1 for value in found.values())


def test_another_embedding_model_is_another_metric(tmp_path: Path) -> None:
    """The model is part of the digest, so its scores are never taken for those of another."""
    project = Project(tmp_path)
    digests = set()
    for model in ("a", "b"):
        block = f"embeddings: {{far: {{type: openai_compatible, base_url: 'http://127.0.0.1:9/v1', model: {model}}}}}"
        project.write("m.yaml", CONFIG.format(block=block, more=", embedding: far"))
        digests.add(json.loads(project.run("check", "m.yaml", "--json").stdout)["metrics"][0]["digest"])
    assert len(digests) == 2


def test_mistakes_are_told_before_any_work(tmp_path: Path) -> None:
    """An unknown name or embedder stops the run with the nearest one."""
    project = Project(tmp_path)
    project.write("m.yaml", CONFIG.format(block="embeddings: {far: {type: offlin}}", more=", embedding: fra"))
    told = project.run("check", "m.yaml").stderr
    assert "unknown embedder 'offlin'" in told
    assert "unknown embedding model 'fra'" in told
    assert "Did you mean 'far'?" in told


def test_embeddings_are_counted_and_kept_within_the_budget(tmp_path: Path) -> None:
    """What a server embeds is paid by its price, shown by metric, and never more than the budget allows."""
    with standing_in() as server:
        project = Project(tmp_path)
        far = f"type: openai_compatible, base_url: '{server.url}', model: small, price: {{input: 100, output: 0}}"
        block = f"embeddings: {{far: {{{far}}}}}"
        project.write("m.yaml", CONFIG.format(block=block, more=", embedding: far"))
        first = json.loads(project.run("m.yaml", "--json", "--quiet", "--no-dedup").stdout)
        (row,) = first["usage"]
        assert (row["metric"], row["calls"], row["failed"]) == ("Likeness", 8, 0)
        assert row["cost"] > 0 and row["input"] > 0
        half = f"budget: {{usd: {row['cost'] / 2:.7f}, on_over: stop}}\n"
        project.write("m.yaml", half + CONFIG.format(block=block, more=", embedding: far"))
        done = project.run("m.yaml", "--json", "--quiet", "--no-dedup")
        assert done.returncode == 4
        assert json.loads(done.stdout)["usage"][0]["cost"] <= row["cost"] / 2
        block = block.replace(", price: {input: 100, output: 0}", "")
        project.write("m.yaml", half + CONFIG.format(block=block, more=", embedding: far"))
        assert "has no price" in project.run("check", "m.yaml").stderr
