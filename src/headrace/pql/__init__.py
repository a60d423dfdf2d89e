"""PQL, the Profile Query Language: from text to a bound tree that compilers read."""
