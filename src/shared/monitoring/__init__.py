"""Flow A: source, deduplicate, sample, score, publish, estimate."""
