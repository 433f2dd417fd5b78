"""Alerts: metric series that are watched from run to run, and what people are told of them."""
