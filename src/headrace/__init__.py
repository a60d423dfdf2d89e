"""Headrace: an open, self-hosted real-time customer data platform."""

__version__ = "0.1.0"
