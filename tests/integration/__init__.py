"""The running server: ``headrace serve`` with all roles, driven over its wire API alone."""
