"""Fragments, merge policies, the merged view: what is known about a person."""
