"""The wire's spelling: bodies of answers and errors."""
