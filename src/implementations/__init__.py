"""Monitored applications, one folder each; `shared` never imports them."""
