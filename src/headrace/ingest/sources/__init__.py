"""Sources: files in folders and buckets, taken by schedule, each of them once."""
