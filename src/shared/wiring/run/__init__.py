"""One run of a built monitor, from its stores to its exit code."""
