"""Old data, new code: every earlier version of a store is brought up to date without loss."""
