"""The intent log: chains of blocks with records of what was promised and not yet synced."""
