"""The metric library: plain functions, listed in `scoring/library.py`."""
