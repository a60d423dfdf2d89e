"""Dataflows: what goes to which destination, when, under which names; and its delivery."""
