"""What a fault needs that this machine doesn't have."""

from __future__ import annotations


class NotHere(Exception):
    """The fault can't be provoked on this machine; the message says why, and what to install."""
