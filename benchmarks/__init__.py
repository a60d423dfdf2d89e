"""Budgets of the product, measured: `python -m benchmarks.<name>`."""
