"""The sources of monitors: what the block `source` asks for, and sources that are composed of two."""
