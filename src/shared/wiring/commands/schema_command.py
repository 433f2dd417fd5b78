"""`trueline schema`: the JSON Schema that editors check configurations with."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from pathlib import Path

from shared.core.errors import StoreError
from shared.wiring.build.json_schema import config_schema
from shared.wiring.config.registries import build_registries


def main(options: Namespace) -> int:
    """Print the schema, or write it to a file."""
    text = json.dumps(config_schema(build_registries()), indent=1, ensure_ascii=False) + "\n"
    if options.out is None:
        sys.stdout.write(text)
        return 0
    try:
        Path(options.out).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{options.out}: cannot be written: {error.strerror}") from error
    return 0
