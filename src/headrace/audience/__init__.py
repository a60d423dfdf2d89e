"""Who is in which audience: definitions, evaluation, membership, jobs."""
