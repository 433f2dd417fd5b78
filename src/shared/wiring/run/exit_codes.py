"""Where the exit code of a command is decided. Every error ends here, with a message."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from shared.core.errors import ConfigError, TruelineError
from shared.wiring.run.interruption import Terminated

EXIT_CODES = {"too_many_failures": 3, "over_budget": 4, "failed": 1, "unpublished": 1}
"""Of a run, by its status; 0 for any other."""

GATE_FAILED = 5
"""Of a run that ended well and missed one of its gates."""


def run_to_exit_code(command: Callable[[], int], debug: bool = False, clean: Callable[[str], str] = str) -> int:
    """Run a command and turn whatever it raises into a message and an exit code. `clean` redacts the message."""
    try:
        return command()
    except ConfigError as error:
        _print_errors(*map(clean, error.problems))
        return 2
    except Terminated:
        _print_errors("terminated; what was scored is kept, and the next run finishes the rest")
        return 143
    except KeyboardInterrupt:
        _print_errors("interrupted; what was scored is kept, and the next run finishes the rest")
        return 130
    except BrokenPipeError:
        return 1  # whoever read our output has gone
    except TruelineError as error:
        _print_errors(clean(str(error)))
        return 1
    except Exception as error:  # noqa: BLE001 - the job: nothing leaves it but an exit code (design, promise 2)
        if debug:
            sys.stderr.write(clean(traceback.format_exc()))
        else:
            _print_errors(clean(f"unexpected {type(error).__name__}: {error}"), "run with --debug for the traceback")
        return 1


def _print_errors(*lines: str) -> None:
    for line in lines:
        print(f"trueline: {line}", file=sys.stderr)
