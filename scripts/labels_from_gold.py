"""Writes labels and anchors for Athena's traces: not people's, but made by the rule that wrote the questions.

    PYTHONPATH=src python scripts/labels_from_gold.py

The gold decision of a submission is right by construction (data/athena/README.md), so the label of an answer is whether
it is the gold one. That shows what `judge-report` does with labels; it shows nothing about people. Labelled is a random
part of the traces (a salted hash of the id), anchors are other traces, as items.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from implementations.athena.extractors import recommendation
from shared.core.digests import unit_interval

FOLDER = Path(__file__).resolve().parents[1] / "data" / "athena"
LABEL, LABELLED, ANCHORS = "Right decision", 0.4, 0.15


def traces() -> list[dict[str, Any]]:
    """Every recommendation, as it was recorded."""
    return [json.loads(line) for line in (FOLDER / "recommendation.jsonl").read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Write both files."""
    labels: list[tuple[str, str, int, str]] = []
    anchors: list[str] = []
    for record in traces():
        item = recommendation(record)
        right = int(item.actual_output == item.expected_output)
        lot = unit_interval("labels", item.id)
        if lot < LABELLED:
            labels.append((item.id, LABEL, right, "gold rule"))
        elif lot >= 1 - ANCHORS:
            kept = {**item.to_dict(), "labels": {LABEL: right}}
            anchors.append(json.dumps(kept, ensure_ascii=False, separators=(",", ":")))
    with (FOLDER / "labels_from_gold.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("item_id", "metric", "value", "who"))
        writer.writerows(labels)
    (FOLDER / "anchors_from_gold.jsonl").write_text("\n".join(anchors) + "\n", encoding="utf-8")
    print(f"{len(labels)} labels, {len(anchors)} anchors")


if __name__ == "__main__":
    main()
