#!/usr/bin/env python3
"""Send Athena's shipped traces to a Langfuse project, as if they had just happened, to try a monitor on it.

    python scripts/send_traces.py --kind recommendation --n 60
    trueline run athena_recommendation_langfuse

Needs LANGFUSE_HOST, LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY. The traces end `--ago` minutes before now, so that a
monitor takes them for finished, and are spread evenly over `--over` minutes. Sent twice, they are the same traces at
other times.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from implementations.athena.langfuse.spans import build_export
from shared.core.clock import utc_now

DATA = Path(__file__).resolve().parents[1] / "data" / "athena"
PATH = "/api/public/otel/v1/traces"
AT_ONCE = 20  # traces a request: far below the 5 MB that a request may have
NEEDED = ("LANGFUSE_HOST", "LANGFUSE_PUBLIC_KEY", "LANGFUSE_SECRET_KEY")


def main(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> int:
    """0 when the server took all of them, 1 when it did not, 2 for a wrong command line or a missing variable."""
    asked = _arguments(argv)
    missing = [name for name in NEEDED if not environ.get(name)]
    if missing:
        print(f"send_traces: set {', '.join(missing)}", file=sys.stderr)
        return 2
    lines = (DATA / f"{asked.kind}.jsonl").read_text(encoding="utf-8").splitlines()[: asked.n]
    traces = placed([json.loads(line) for line in lines], utc_now() - timedelta(minutes=asked.ago), asked.over)
    try:
        send(traces, environ)
    except httpx.HTTPError as error:
        print(f"send_traces: {environ['LANGFUSE_HOST']}: {error}", file=sys.stderr)
        return 1
    print(f"{len(traces)} traces sent; the server may need a while until it shows them")
    return 0


def placed(traces: Sequence[dict[str, Any]], until: datetime, minutes: float) -> list[tuple[dict[str, Any], datetime]]:
    """Each trace with its beginning: in order, evenly spread over `minutes`, the last of them ended by `until`."""
    longest = max((each["latency"] for each in traces), default=0.0)
    first = until - timedelta(minutes=minutes, seconds=longest)
    apart = timedelta(minutes=minutes) / max(1, len(traces) - 1)
    return [(trace, first + apart * number) for number, trace in enumerate(traces)]


def send(traces: Sequence[tuple[dict[str, Any], datetime]], environ: Mapping[str, str]) -> None:
    """Send them in a few requests.

    Raises:
        httpx.HTTPError: when the server cannot be reached or refuses.
    """
    host, public, secret = (environ[name] for name in NEEDED)
    headers = {"x-langfuse-ingestion-version": "4"}
    with httpx.Client(base_url=host, auth=(public, secret), headers=headers, timeout=30) as client:
        for start in range(0, len(traces), AT_ONCE):
            client.post(PATH, json=build_export(traces[start : start + AT_ONCE])).raise_for_status()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--kind", choices=("recommendation", "chat"), required=True)
    parser.add_argument("--n", type=int, default=60, help="how many (default 60)")
    parser.add_argument("--ago", type=float, default=15, help="minutes from the last of them to now (default 15)")
    parser.add_argument("--over", type=float, default=30, help="minutes that they are spread over (default 30)")
    return parser.parse_args(argv)


if __name__ == "__main__":
    raise SystemExit(main())
