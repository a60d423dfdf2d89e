"""What is stored, and where: sandboxes, datasets, batches."""
