"""Tests that stay valid however often they look: e-processes over metric series."""
