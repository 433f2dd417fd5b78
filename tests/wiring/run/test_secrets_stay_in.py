"""No key leaves the process, end to end: a metric that raises with keys of every form, and with a configured one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.privacy.test_secret_gate import KEYS
from tests.wiring.project import Project

SECRET = 'configured"secret\\7'
FROM_ENVIRONMENT = "plainly-set-4711\r\n"
SPELLINGS = (
    SECRET,
    repr(SECRET),
    json.dumps(SECRET),
    quote(SECRET, safe=""),
    base64.b64encode(SECRET.encode()).decode(),
    base64.urlsafe_b64encode(f"user:{SECRET}".encode()).decode(),
    FROM_ENVIRONMENT.strip(),
    repr(FROM_ENVIRONMENT.encode()),
)
PARTS = (*KEYS, *(each.strip("\"'") for each in SPELLINGS), "secret\\7", "secret\\\\7", "plainly-set")
CONFIG = """\
name: keys
source: {{type: file, name: keys, path: items.jsonl, window: all, extractor: "leaky:extract"}}
models:
  judge: {{type: openai_compatible, base_url: "http://127.0.0.1:9/v1", model: m, api_key: {secret}}}
metrics_config:
  Raises: {{class: "leaky:raises"}}
  Explains: {{class: "leaky:explains"}}
evaluation: {{max_failure_share: 1.0, max_attempts: 2}}
publishing: {{files: {{directory: out, format: jsonl}}}}
"""
METRICS = '''
import logging, sys, warnings
from shared.core.records import DatasetItem
from shared.core.extraction import Skip
from shared.core.results import Score
from shared.scoring.metric import metric

TEXTS = {texts!r}

def extract(record):
    if record["id"] == "broken":
        raise ValueError("cannot read with " + " and ".join(TEXTS))
    if record["id"] == "skipped":
        raise Skip("not ours: " + " and ".join(TEXTS))
    return DatasetItem(id=record["id"], query="q", actual_output="a")

@metric(version="1")
def raises(item: DatasetItem) -> Score:
    """Fails with keys in its message, and logs and prints them."""
    for text in TEXTS:
        logging.getLogger("mine").warning("asked with %s", text)
        print("asked with", text)
        print("asked with", text, file=sys.stderr)
    warnings.warn("asked with " + TEXTS[0])
    raise RuntimeError("refused: " + " and ".join(TEXTS))

@metric(version="1")
def explains(item: DatasetItem) -> Score:
    """Scores, and quotes keys."""
    return Score(0.5, "found " + " and ".join(TEXTS), {{"quotes": list(TEXTS)}})
'''


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("m.yaml", CONFIG.format(secret=json.dumps(SECRET)))
    made.write("leaky.py", METRICS.format(texts=(*KEYS, *SPELLINGS)))
    rows = [{"id": each} for each in ("i1", "i2", "broken", "skipped")]
    made.write("items.jsonl", "".join(json.dumps(each) + "\n" for each in rows))
    return made


def leaks(text: str) -> list[str]:
    """Which keys can be read in the text."""
    return [each for each in PARTS if each in text]


def test_no_output_no_file_and_no_state_holds_a_key(project: Project) -> None:
    """Terminal, `--json`, `runs show`, `explain`, `publish`, the page, logs, the database's bytes and the file sink."""
    environment = {"MY_API_KEY": FROM_ENVIRONMENT}
    for arguments in (
        ("m.yaml",),
        ("m.yaml", "--json", "--no-dedup"),
        ("runs", "m.yaml"),
        ("runs", "m.yaml", "show", "--json"),
        ("runs", "m.yaml", "show"),
        ("explain", "m.yaml", "i1"),
        ("explain", "m.yaml", "i1", "--json"),
        ("explain", "m.yaml", "skipped", "--json"),
        ("publish", "m.yaml", "--pending", "--json"),
        ("check", "m.yaml"),
        ("report", "m.yaml", "--out", "again.html"),
    ):
        done = project.run(*arguments, **environment)
        assert done.returncode == 0, (arguments, done.stderr)
        assert leaks(done.stdout) == [] and leaks(done.stderr) == [], arguments
        if "--json" in arguments:
            json.loads(done.stdout)
    files = [path for path in sorted(project.folder.rglob("*")) if path.is_file()]
    made = [path for path in files if path.name not in ("m.yaml", "leaky.py") and path.suffix != ".pyc"]
    assert {path.suffix for path in made} >= {".html", ".jsonl", ".db"}
    for path in made:
        if path.suffix == ".db":
            continue
        assert leaks(path.read_text(errors="replace")) == [], path.name
    page = next(path for path in made if path.parent.name == "reports").read_text()
    assert "refused: [KEY] and [KEY]" in page and "asked with [KEY]" in project.run("m.yaml", "--no-dedup").stderr


def test_the_state_holds_no_key_that_a_message_quoted(project: Project) -> None:
    """Failures, notes, broken and skipped records, and the configuration, in the bytes of the database."""
    project.write(
        "m.yaml", CONFIG.format(secret=json.dumps(SECRET)).replace('  Explains: {class: "leaky:explains"}\n', "")
    )
    project.run("m.yaml", MY_API_KEY=FROM_ENVIRONMENT)
    for path in (project.folder / "data" / "state").rglob("*"):
        assert leaks(path.read_bytes().decode("latin-1")) == [], path.name


@pytest.mark.parametrize("flags", [(), ("--debug",)])
def test_an_error_that_ends_the_run_holds_no_key(project: Project, flags: tuple[str, ...]) -> None:
    """What is printed with exit code 1, also as a traceback."""
    project.write(
        "leaky.py",
        METRICS.format(texts=(*KEYS, *SPELLINGS)).replace('raise ValueError("cannot', 'raise SystemError("cannot'),
    )
    done = project.run("m.yaml", *flags, MY_API_KEY=FROM_ENVIRONMENT)
    assert leaks(done.stdout) == [] and leaks(done.stderr) == []


def test_a_wrong_setting_is_reported_without_its_secret(project: Project) -> None:
    """Errors of the configuration quote values; not those of secrets."""
    text = CONFIG.format(secret=json.dumps(SECRET)).replace(
        "window: all", f"window: {json.dumps(SECRET)}, color: {KEYS[0]}"
    )
    project.write("m.yaml", text)
    done = project.run("m.yaml")
    assert done.returncode == 2 and leaks(done.stderr) == [], done.stderr
