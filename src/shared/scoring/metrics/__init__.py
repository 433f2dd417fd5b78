"""The metric library: plain functions, listed in `scoring/metric_library.py`."""
