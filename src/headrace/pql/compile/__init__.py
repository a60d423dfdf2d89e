"""Compilers of the bound tree: to Python for one profile at a time, and to relational statements for all of them."""
