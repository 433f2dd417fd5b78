"""How near the answer's wording comes to the expected one's. An expected text that is blank gives nothing to compare.

The packages that count are imported when a metric is first called.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Literal

from shared.core.results import Score
from shared.scoring.metric import metric

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric

_FIELDS = {"pred": "actual_output", "gold": "expected_output"}


@metric(fields=_FIELDS, threshold=0.5)
def fuzzy_ratio(pred: str, gold: str, *, strip: bool = True, ignore_case: bool = False) -> float | None:
    """Normalised Levenshtein similarity of answer and expected output."""
    from rapidfuzz.distance import Levenshtein

    if not gold.strip():
        return None
    if strip:
        pred, gold = pred.strip(), gold.strip()
    if ignore_case:
        pred, gold = pred.casefold(), gold.casefold()
    return Levenshtein.normalized_similarity(pred, gold)


@metric(fields=_FIELDS, threshold=0.2)
def levenshtein_ratio(pred: str, gold: str, *, strip: bool = True, ignore_case: bool = False) -> float | None:
    """`fuzzy_ratio` under its earlier name and threshold."""
    return fuzzy_ratio(pred, gold, strip=strip, ignore_case=ignore_case)


@metric(fields=_FIELDS, threshold=0.5)
def token_set(pred: str, gold: str, *, ignore_case: bool = True) -> float | None:
    """Similarity of the two sets of words; 1 when one contains the other."""
    from rapidfuzz import fuzz, utils

    if not gold.strip():
        return None
    return fuzz.token_set_ratio(pred, gold, processor=utils.default_process if ignore_case else None) / 100


@metric(fields=_FIELDS, threshold=0.5)
def sentence_bleu(pred: str, gold: str, *, ignore_case: bool = False) -> Score | None:
    """BLEU of the answer against the expected output, from 0 to 1."""
    return _score_sentence("BLEU", _make_bleu(ignore_case), pred, gold) if gold.strip() else None


@metric(fields=_FIELDS, threshold=0.5)
def chrf(pred: str, gold: str, *, word_order: Literal[0, 2] = 0, ignore_case: bool = False) -> Score | None:
    """chrF of the answer against the expected output, from 0 to 1; chrF++ with `word_order: 2`."""
    return _score_sentence("chrF", _make_chrf(word_order, ignore_case), pred, gold) if gold.strip() else None


@cache
def _make_bleu(lowercase: bool) -> Metric:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(lowercase=lowercase, effective_order=True)  # as sentences ask for: without it short ones get 0


@cache
def _make_chrf(word_order: int, lowercase: bool) -> Metric:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(word_order=word_order, lowercase=lowercase)


def _score_sentence(name: str, judge: Metric, pred: str, gold: str) -> Score:
    """The score by sacrebleu, from 0 to 1, with the signature that makes it comparable with others'."""
    value = judge.sentence_score(pred, [gold]).score / 100
    return Score(min(value, 1.0), f"{name} {value:.3f}", {"signature": f"{name}|{judge.get_signature()}"})
