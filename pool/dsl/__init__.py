"""Floor 5: datasets. Directories, snapshots, clones, properties, accounting, deadlists, keys."""
