"""Run one monitor: `python scripts/run_monitoring.py <config>.yaml`. The same as `trueline run`; see --help."""

from trueline_main import main

if __name__ == "__main__":
    raise SystemExit(main())
