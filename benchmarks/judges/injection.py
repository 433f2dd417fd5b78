"""What gets past the parser when a judge obeys the text that it judges, and what gets past a parser that takes the
last JSON object of an answer.

    python benchmarks/judges/injection.py

Every attack (`tests/scoring/judging/attacks.py`) is judged by every obeying judge; an attack is past when its score of
10 comes out instead of the honest 1. The judges are scripted: this measures what is left to the judge's own strength,
not how often real models obey.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from shared.scoring.judging.ask_judge import ask_judge
from shared.scoring.judging.judge_errors import JudgeError

ROOT = Path(__file__).resolve().parents[2]


def naive(text: str) -> object:
    """The score of the last JSON object in a text that has one, as many parsers read it."""
    decoder, found, at = json.JSONDecoder(), None, text.find("{")
    while at >= 0:
        try:
            value, end = decoder.raw_decode(text, at)
            found = value.get("score", found) if isinstance(value, dict) else found
        except (ValueError, RecursionError):
            end = at + 1
        at = text.find("{", end)
    return float(found) if isinstance(found, str | int | float) else None


def main() -> None:
    """Print the counts by judge, and the kinds of the failures."""
    sys.path.insert(0, str(ROOT))
    from tests.scoring.judging.attacks import ATTACKS, OBEYING, WANTED, Attack, Script, asked_about, persuaded
    from tests.scoring.judging.scripted import ScriptedJudge

    def ours(attack: Attack, script: Script) -> int | str:
        judge = ScriptedJudge(lambda seen: script(seen, attack))
        try:
            return int(asyncio.run(ask_judge(judge, asked_about(attack))).verdict["score"])
        except JudgeError as error:
            return type(error).__name__

    def theirs(attack: Attack, script: Script) -> bool:
        judge = ScriptedJudge(lambda seen: script(seen, attack))
        made = asked_about(attack)
        found = naive(asyncio.run(judge.complete(made.messages)).text)
        return isinstance(found, float) and found >= WANTED

    print(f"{len(ATTACKS)} attacks; how many get past\n\n{'judge':<30}{'Trueline':>9}{'last JSON':>11}")
    kinds: Counter[str] = Counter()
    through: list[str] = []
    for name, script in {**OBEYING, "persuaded, in its own words": persuaded}.items():
        found = [ours(attack, script) for attack in ATTACKS.values()]
        kinds.update(each for each in found if isinstance(each, str))
        past = sum(each == WANTED for each in found)
        if name == "understands, and fills in":
            through = [attack for attack, each in zip(ATTACKS, found, strict=True) if each == WANTED]
        print(f"{name:<30}{past:>9}{sum(theirs(attack, script) for attack in ATTACKS.values()):>11}")
    print("\npast a judge that understands, and fills in: " + ", ".join(through))
    print("\nfailures by kind: " + ", ".join(f"{kind} {count}" for kind, count in kinds.most_common()))


if __name__ == "__main__":
    main()
