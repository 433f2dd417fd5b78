"""Records, traces, ports, errors, registry, clock, digests: imports the standard library only."""
