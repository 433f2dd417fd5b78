"""People's verdicts out of files, and the anchor file: strict, and every mistake is named with its line."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from shared.core.errors import SourceError
from shared.core.human_labels import HumanLabel
from shared.core.records import DatasetItem
from shared.files.anchor_file import read_anchors
from shared.files.file_labels import FileLabels, FileLabelsParams


def labels_of(folder: Path, name: str, text: str, since: datetime | None = None) -> list[HumanLabel]:
    (folder / name).write_text(text, encoding="utf-8")
    return list(FileLabels(FileLabelsParams(path=name), folder).labels(since))


def test_csv_and_jsonl_say_the_same(tmp_path: Path) -> None:
    """One label in each format, with who and when."""
    at = datetime(2026, 3, 1, 12, tzinfo=UTC)
    wanted = [HumanLabel("a", "Grounded", 1.0, at, "ann"), HumanLabel("b", "Grounded", 0.0)]
    table = "item_id,metric,value,at,who\na,Grounded,pass,2026-03-01T12:00:00Z,ann\nb,Grounded,0,,\n"
    lines = (
        '{"item_id": "a", "metric": "Grounded", "value": true, "at": "2026-03-01T12:00:00Z", "who": "ann"}\n'
        '{"item_id": "b", "metric": "Grounded", "value": 0}\n'
    )
    assert labels_of(tmp_path, "l.csv", table) == wanted
    assert labels_of(tmp_path, "l.jsonl", lines) == wanted
    assert labels_of(tmp_path, "l.json", f"[{','.join(lines.splitlines())}]") == wanted


@pytest.mark.parametrize(
    ("value", "means"),
    [
        ("1", 1.0),
        ("0", 0.0),
        ("0.7", 0.7),
        ("TRUE", 1.0),
        ("fail", 0.0),
        ("👍", 1.0),
        ("thumbs_down", 0.0),
        ("Bad", 0.0),
    ],
)
def test_verdicts_in_many_words(tmp_path: Path, value: str, means: float) -> None:
    assert labels_of(tmp_path, "l.csv", f"item_id,metric,value\na,G,{value}\n")[0].value == means


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("a,G,maybe", "found 'maybe'; expected a number from 0 to 1, true or false"),
        ("a,G,5", "found 5.0"),
        ("a,G,-1", "found -1.0"),
        ("a,G,inf", "found inf"),
        ("a,,1", "no 'metric'; expected item_id, metric and value"),
        (",G,1", "no 'item_id'"),
        ("a,G", "expected 3 cells as in the header, found 2"),
    ],
)
def test_a_bad_row_is_named_with_its_line(tmp_path: Path, row: str, says: str) -> None:
    """The whole source fails: a judge is not measured against half of the labels."""
    with pytest.raises(SourceError, match=r"l\.csv:3: ") as error:
        labels_of(tmp_path, "l.csv", f"item_id,metric,value\nok,G,1\n{row}\n")
    assert says in str(error.value)


def test_every_bad_row_is_told_at_once(tmp_path: Path) -> None:
    """Twenty of them in full, the rest counted."""
    rows = "\n".join(json.dumps({"item_id": str(n), "metric": "G", "value": "?"}) for n in range(25))
    with pytest.raises(SourceError) as error:
        labels_of(tmp_path, "l.jsonl", rows)
    assert "l.jsonl:1: " in str(error.value) and "l.jsonl:20: " in str(error.value)
    assert "and 5 more rows" in str(error.value)


def test_an_unknown_column_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"unknown column 'itm_id'.*Did you mean 'item_id'"):
        labels_of(tmp_path, "l.jsonl", '{"itm_id": "a", "metric": "G", "value": 1}\n')


def test_a_broken_time_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"l\.jsonl:1: at: expected a time"):
        labels_of(tmp_path, "l.jsonl", '{"item_id": "a", "metric": "G", "value": 1, "at": "yesterday"}\n')


def test_since_leaves_older_labels_out(tmp_path: Path) -> None:
    """Labels without a time are never left out."""
    text = "item_id,metric,value,at\nold,G,1,2026-01-01\nnew,G,1,2026-03-01\nnone,G,1,\n"
    found = labels_of(tmp_path, "l.csv", text, datetime(2026, 2, 1, tzinfo=UTC))
    assert [each.item_id for each in found] == ["new", "none"]


def test_an_empty_file_has_no_labels_and_a_missing_one_is_an_error(tmp_path: Path) -> None:
    assert labels_of(tmp_path, "l.csv", "item_id,metric,value\n") == []
    with pytest.raises(SourceError, match=r"nope\.csv"):
        list(FileLabels(FileLabelsParams(path="nope.csv"), tmp_path).labels())


def anchors(folder: Path, *rows: object) -> Path:
    path = folder / "anchors.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def test_anchors_are_items_with_labels(tmp_path: Path) -> None:
    """The digest is that of the file's bytes: one byte more is another anchor set."""
    path = anchors(tmp_path, {"id": "a", "query": "q?", "labels": {"G": "pass", "T": 0.2}}, {"id": "b", "query": "?"})
    found = read_anchors("anchors.jsonl", tmp_path, DatasetItem.from_dict)
    assert [item.id for item in found.items] == ["a", "b"]
    assert found.labels == {"G": {"a": 1.0}, "T": {"a": 0.2}}
    assert found.digest == hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ({"id": "b", "nope": 1}, "the extractor failed: ItemError: an item has no field 'nope'"),
        ({"id": "a"}, "the id 'a' stands here twice"),
        ({"id": "b", "labels": [1]}, "labels: expected {metric's label: value}"),
        ({"id": "b", "labels": {"G": "so-so"}}, "labels.G: found 'so-so'"),
    ],
)
def test_an_anchor_that_cannot_be_used_is_named(tmp_path: Path, row: object, says: str) -> None:
    anchors(tmp_path, {"id": "a"}, row)
    with pytest.raises(SourceError, match=r"anchors\.jsonl:2: ") as error:
        read_anchors("anchors.jsonl", tmp_path, DatasetItem.from_dict)
    assert says in str(error.value)


def test_an_anchor_set_is_one_file_with_items(tmp_path: Path) -> None:
    (tmp_path / "anchors.jsonl").write_text("")
    (tmp_path / "more.jsonl").write_text("")
    with pytest.raises(SourceError, match="no items in it"):
        read_anchors("anchors.jsonl", tmp_path, DatasetItem.from_dict)
    with pytest.raises(SourceError, match="expected one file, found 2"):
        read_anchors("*.jsonl", tmp_path, DatasetItem.from_dict)


def test_the_metric_name_may_stand_under_its_older_column(tmp_path: Path) -> None:
    """Files of earlier versions call the column `label`."""
    found = labels_of(tmp_path, "l.csv", "item_id,label,value\na,Grounded,pass\n")
    assert (found[0].item_id, found[0].claim, found[0].value) == ("a", "Grounded", 1.0)
