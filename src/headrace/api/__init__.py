"""The wire API: one module per service, and what all of them share."""
