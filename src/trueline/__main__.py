"""`python -m trueline`: the command line."""

from trueline_main import main

if __name__ == "__main__":
    raise SystemExit(main())
