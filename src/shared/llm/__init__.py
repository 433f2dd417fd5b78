"""Language models behind the port `LMAdapter`, one vendor a file."""
