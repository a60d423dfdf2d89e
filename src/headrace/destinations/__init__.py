"""Where audiences and profiles go: one file per destination, loaded by name through the registry."""
