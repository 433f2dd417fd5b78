#!/usr/bin/env python3
"""Run Athena for real over seeded requests and write its traces, one JSON object a line.

    python scripts/collect_traces.py --kind recommendation --out data/athena/recommendation.jsonl --n 360 --seed 2026
    python scripts/collect_traces.py --kind chat --out data/athena/chat.jsonl --n 300 --seed 2026

Needs the extra `local`. Every line is written whole and flushed, so the run may be stopped at any time; `--resume`
goes on where it stopped. At the end the accuracy of each prompt version is counted from what was written.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from implementations.athena.app.assistant import Athena
from implementations.athena.app.handbook import load_handbook, load_rules
from implementations.athena.app.recording import slots, trace_id, trace_record
from implementations.athena.app.requests import Kind, make_requests
from implementations.athena.app.retrieval import Retriever
from implementations.athena.gold import is_right
from shared.core.errors import ConfigError
from shared.llm.adapters.local import LocalAdapter

KINDS: tuple[Kind, ...] = ("recommendation", "chat")


def main(argv: list[str] | None = None) -> int:
    """0 when all is collected, 2 for a wrong command line or a missing model, 130 when it was interrupted."""
    asked = _arguments(argv)
    out = Path(asked.out)
    done = read_done(out) if asked.resume else []
    problem = _refusal(out, done, asked)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    try:
        collect(asked, out, {each["id"] for each in done})
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; go on with --resume ({len(read_done(out))} traces in {out})", file=sys.stderr)
        return 130
    print("\n".join(accuracy_lines(read_done(out))))
    return 0


def collect(asked: argparse.Namespace, out: Path, have: set[str]) -> None:
    """Run what is missing and append it to the file.

    Raises:
        ConfigError: when the extra `local` is not installed.
    """
    model = LocalAdapter(n_threads=asked.threads)
    athena = Athena(model, Retriever(load_handbook()))
    requests = make_requests(asked.kind, load_rules(), asked.n, asked.seed)
    places = slots(asked.n, asked.seed, asked.kind)
    began, made = time.perf_counter(), 0
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("a", encoding="utf-8") as file:
        for request, slot in zip(requests, places, strict=True):
            if trace_id(request.kind, asked.seed, slot.number) in have:
                continue
            run = athena.recommend if request.kind == "recommendation" else athena.chat
            collected_at = datetime.now(UTC)
            answer = run(request.text, slot.prompt_version)
            record = trace_record(request, slot, answer, collected_at, asked.seed)
            file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
            file.flush()
            made += 1
            if made % 20 == 0:
                print(f"{made} traces, {(time.perf_counter() - began) / made:.2f} s each", flush=True)
    model.close()
    print(f"{made} new traces in {time.perf_counter() - began:.0f} s -> {out}")


def read_done(path: Path) -> list[dict[str, Any]]:
    """The whole lines of an earlier run; a last line that was cut off is taken off the file."""
    if not path.exists():
        return []
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return [json.loads(line) for line in whole.splitlines()]


def accuracy_lines(records: Iterable[Mapping[str, Any]]) -> list[str]:
    """One line per kind and prompt version: how many answers are right, of how many."""
    counts: dict[tuple[str, int], list[bool]] = {}
    for record in records:
        key = (record["name"], record["metadata"]["prompt_version"])
        counts.setdefault(key, []).append(answered_right(record))
    return [
        f"{kind} prompt v{version}: {sum(right)} of {len(right)} right, {sum(right) / len(right):.1%}"
        for (kind, version), right in sorted(counts.items())
    ]


def answered_right(record: Mapping[str, Any]) -> bool:
    """Whether a trace's answer is the gold one: the decision itself, or a chat answer that states the fact."""
    expected, output = record["metadata"]["expected"], record["output"]
    if record["name"] == "recommendation":
        return bool(output["decision"] == expected["decision"])
    return is_right(output["answer"], expected["answer"], expected["negatives"])


def _refusal(out: Path, done: list[dict[str, Any]], asked: argparse.Namespace) -> str | None:
    if not asked.resume and out.exists() and out.stat().st_size:
        return f"{out} is there already; go on with --resume, or remove it"
    planned = {trace_id(asked.kind, asked.seed, number) for number in range(asked.n)}
    strange = next((each["id"] for each in done if each["id"] not in planned), None)
    if strange is not None:
        return f"{out} holds trace {strange}, which --kind {asked.kind} --n {asked.n} --seed {asked.seed} never makes"
    return None


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Run Athena with the local model and write its traces as JSONL.")
    parser.add_argument("--kind", choices=KINDS, required=True, help="which of the two kinds of request")
    parser.add_argument("--out", required=True, help="JSONL file to write")
    parser.add_argument("--n", type=int, default=300, help="how many requests in all (default 300)")
    parser.add_argument("--seed", type=int, default=2026, help="seed of requests and replay times (default 2026)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the model (default 1)")
    parser.add_argument("--resume", action="store_true", help="keep what the file holds and make the rest")
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
