"""Ingestion: the streaming inlet, batch files, data prep, validation and quarantine."""
