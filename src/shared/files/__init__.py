"""Files: JSONL, JSON, CSV and Parquet as a source of items, and as a sink for scores."""
