"""Interlock: agent operations you can stop, resume and explain."""

__version__ = "0.1.0"
