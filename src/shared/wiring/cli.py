"""The command line: `trueline COMMAND`, with the commands of `COMMANDS`; `scripts/run_monitoring.py <config>`.

Exit codes: 0 done (also when there was nothing to do), 1 the run failed, 2 bad usage or configuration, 3 too many
failures, 4 the budget ended the run early, 5 a gate failed, 130 interrupted (143 by SIGTERM); what was done is kept in
each case.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping, Sequence

from shared.core.registry import load

COMMANDS = {
    "run": "run a monitor once",
    "schedule": "run several monitors at their times, in one process, until it is stopped",
    "check": "validate a configuration and explain what it would do",
    "list": "list sources, strategies, models, metrics, stores, extractors, labels and configurations",
    "schema": "write the JSON Schema that editors check configurations with",
    "report": "write the HTML report of a past run again",
    "judge-report": "show how far each judge can be trusted, by human labels and the anchor set",
    "runs": "list past runs, or show everything that is stored about one",
    "compare": "compare two runs, item by item where both scored the same items",
    "alerts": "show what is watched and which alerts are open; acknowledge, mute or resolve",
    "explain": "show the history of one item: why it has its scores, or has none",
    "publish": "deliver pending scores of past runs to the sinks, without reading or scoring",
    "tables": "create, check or upgrade the tables that push_to_db writes",
    "webhook": "serve the receiver of Langfuse's webhook, so that changed prompts are invalidated at once",
    "state": "show what the state occupies, drop what is old (prune), or build its aggregates again (rebuild)",
    "cache": "show what the response cache holds and has saved, or clear it",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] not in COMMANDS and arguments[0] not in ("-h", "--help", "--version"):
        arguments.insert(0, "run")  # `run_monitoring.py <config>`, as it always was
    options = parser().parse_args(arguments)
    if options.command is None:
        parser().print_help()
        return 2
    try:
        # Late: the parts behind a command are imported when it is used, so that --help is fast.
        name = options.command.replace("-", "_")
        command: Callable[[argparse.Namespace], int] = load(f"shared.wiring.commands.{name}_command:main")
        to_exit_code: Callable[[Callable[[], int], bool, Callable[[str], str]], int] = load(
            "shared.wiring.run.exit_codes:run_to_exit_code"
        )
        redactor = load("shared.wiring.run.guarded_output:open_output")(os.environ)
    except KeyboardInterrupt:
        return 130
    with redactor:
        options.output_redactor = redactor
        return to_exit_code(lambda: command(options), bool(getattr(options, "debug", False)), redactor.clean)


def parser() -> argparse.ArgumentParser:
    """The parser of all commands."""
    top = argparse.ArgumentParser(
        prog="trueline",
        description="Monitors LLM applications: samples new traces, scores them, and reports every result with a 95 % "
        "confidence interval.",
        epilog="Exit codes: 0 done or nothing to do, 1 failed, 2 bad usage or configuration, 3 too many failures, "
        "4 over budget, 5 a gate failed, 130 interrupted, 143 terminated.",
    )
    top.add_argument("--version", action="version", version="trueline 0.1.0")
    commands = top.add_subparsers(dest="command", metavar="command")
    parts = {name: commands.add_parser(name, help=text, description=text) for name, text in COMMANDS.items()}
    for part in parts.values():
        part.add_argument("--debug", action="store_true", help="show a traceback for unexpected errors")
    for name in ("run", "check"):
        parts[name].add_argument("config", help="a YAML file, or a name from configs/")
        _set_option(parts[name])
    _run_options(parts["run"])
    parts["check"].add_argument("--json", action="store_true", help="print JSON")
    parts["check"].add_argument(
        "--connect", action="store_true", help="also check that the state, models, source and sinks answer"
    )
    parts["list"].add_argument(
        "kind",
        nargs="?",
        choices=("sources", "sampling", "models", "metrics", "stores", "extractors", "labels", "notifiers", "configs"),
        help="list only this kind",
    )
    parts["schema"].add_argument("--out", metavar="FILE", help="write to a file instead of standard output")
    parts["report"].add_argument("config", help="a YAML file, or a name from configs/")
    parts["report"].add_argument("--run", metavar="ID", help="which run (default: the newest)")
    parts["report"].add_argument("--out", metavar="FILE", help="where to write (default: the config's own path)")
    _set_option(parts["report"])
    parts["cache"].add_argument("action", choices=("stats", "clear"))
    _state_options(parts["state"])
    for name in ("judge-report", "runs", "compare", "alerts", "explain", "publish", "cache", "state"):
        also = "; or `heartbeat` alone" if name == "alerts" else ""
        parts[name].add_argument("config", help=f"a YAML file, or a name from configs/{also}")
        parts[name].add_argument("--json", action="store_true", help="print JSON")
        _set_option(parts[name])
    _history_options(parts)
    _alerts_options(parts["alerts"])
    _publish_options(parts["publish"])
    _tables_options(parts["tables"])
    _webhook_options(parts["webhook"])
    _schedule_options(parts["schedule"])
    return top


def _set_option(part: argparse.ArgumentParser) -> None:
    help_text = "override one value; can be repeated"
    part.add_argument("--set", dest="overrides", metavar="a.b=value", action="append", default=[], help=help_text)


def _run_options(run: argparse.ArgumentParser) -> None:
    run.add_argument(
        "--fail-on",
        metavar="CONDITION",
        action="append",
        default=[],
        help="end with exit code 5 if it holds, such as 'Helpful < 0.8'; can be repeated",
    )
    run.add_argument(
        "--dry-run", action="store_true", help="the real pipeline; nothing is stored, published or marked as processed"
    )
    run.add_argument(
        "--no-dedup",
        action="store_true",
        help="a trial: score the whole window again; mark nothing as processed, and publish nothing",
    )
    run.add_argument(
        "--publish",
        action="store_true",
        help="with --no-dedup: publish the trial's scores too, under names that end in '(trial)'",
    )
    run.add_argument(
        "--first-run", action="store_true", help="start a new state where the state of earlier runs is required"
    )
    run.add_argument("--limit", type=_positive, metavar="N", help="read at most N records (the source's limit)")
    run.add_argument("--json", action="store_true", help="print the report as JSON")
    run.add_argument("--quiet", action="store_true", help="print errors only")


def _history_options(parts: Mapping[str, argparse.ArgumentParser]) -> None:
    parts["runs"].add_argument("show", nargs="?", choices=("show",), help="show one run instead of the list")
    parts["runs"].add_argument(
        "id", nargs="?", metavar="ID", help="which run: its id or the start of it (default: the newest)"
    )
    parts["runs"].add_argument("--limit", type=_positive, default=20, metavar="N", help="list at most N (default: 20)")
    parts["compare"].add_argument("run_a", metavar="RUN_A", help="the earlier run: its id or the start of it")
    parts["compare"].add_argument("run_b", metavar="RUN_B", help="the later one")
    parts["compare"].add_argument(
        "--fail-on", choices=("worse",), help="worse: end with exit code 5 if a metric is worse in RUN_B"
    )
    parts["explain"].add_argument("item", metavar="ITEM", help="the item's id as its source gives it")


def _alerts_options(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "action", nargs="?", choices=("show", "ack", "mute", "unmute", "resolve", "heartbeat"), help="default: list all"
    )
    part.add_argument("id", nargs="?", metavar="ID", help="an alert's id or its beginning; of `mute` a metric")
    part.add_argument("--owner", default=os.environ.get("USER", ""), help="who decides (default: the variable USER)")
    part.add_argument("--reason", default="", help="why")
    part.add_argument("--url", default="", help="of `heartbeat`: the address that is asked for")
    part.add_argument("--until", default="8h", metavar="SPAN", help="how long to mute: 30m, 8h, 2d (default: 8h)")


def _webhook_options(part: argparse.ArgumentParser) -> None:
    part.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    part.add_argument("--port", type=int, default=8080, help="the port (default: 8080)")
    part.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes (default: 1)")


def _schedule_options(part: argparse.ArgumentParser) -> None:
    part.add_argument(
        "configs", nargs="+", metavar="config", help="YAML files, folders of them, or names from configs/"
    )
    _set_option(part)
    part.add_argument("--list", action="store_true", help="only list the monitors, with their next and last runs")
    part.add_argument("--once", action="store_true", help="run every monitor once, whatever its time, and end")
    part.add_argument("--now", action="store_true", help="run every monitor at once, then at its times")
    part.add_argument("--skip-invalid", action="store_true", help="report mistakes, and run the valid configurations")
    part.add_argument("--max-concurrent", type=_positive, default=4, metavar="N", help="most runs at once (default: 4)")
    part.add_argument("--host", default="127.0.0.1", help="where /healthz and /metrics listen (default: 127.0.0.1)")
    part.add_argument("--port", type=int, default=8090, help="their port (default: 8090; 0: any that is free)")
    part.add_argument("--no-health", action="store_true", help="listen on no port")
    part.add_argument(
        "--notify",
        action="append",
        choices=("slack", "slack_webhook"),
        default=[],
        help="who is told when monitors do not run: $SLACK_CHANNEL_ID with $SLACK_BOT_TOKEN, or $SLACK_WEBHOOK_URL",
    )
    part.add_argument(
        "--heartbeat-url",
        metavar="URL",
        default=os.environ.get("TRUELINE_HEARTBEAT_URL", ""),
        help="asked for every minute while all monitors run (default: $TRUELINE_HEARTBEAT_URL)",
    )


def _state_options(part: argparse.ArgumentParser) -> None:
    part.add_argument("action", nargs="?", choices=("prune", "rebuild"), help="default: show sizes")
    part.add_argument("--keep", metavar="DAYS", help="with prune: what is older is dropped, such as 90d")
    part.add_argument("--dry-run", action="store_true", help="with prune: only count")


def _publish_options(part: argparse.ArgumentParser) -> None:
    part.add_argument("--pending", action="store_true", help="deliver pending scores and verify them")
    part.add_argument("--failed", action="store_true", help="the same, and retry failed deliveries")
    part.add_argument("--list", action="store_true", help="only list pending and failed deliveries")


def _tables_options(tables: argparse.ArgumentParser) -> None:
    tables.add_argument("action", choices=("check", "create"), help="create also upgrades tables of an older layout")
    tables.add_argument("config", nargs="?", help="a YAML file, or a name from configs/, with its own database")
    tables.add_argument("--url", metavar="URL", help="the database (default: the config's, else $DATABASE_URL)")
    tables.add_argument("--json", action="store_true", help="print JSON")
    _set_option(tables)


def _positive(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected an integer >= 1, found {text!r}")
    return number
