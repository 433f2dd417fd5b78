"""Thin door: the loops that every room with a client shares live in `core/loops.py`."""

from shared.core.loops import PerLoop, Portal

__all__ = ["PerLoop", "Portal"]
