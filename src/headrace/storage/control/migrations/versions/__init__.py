"""One module a step; its name says its number and what it does."""
