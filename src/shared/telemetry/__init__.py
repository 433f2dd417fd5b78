"""What Trueline tells of itself, best effort: Prometheus. Imports core only."""
