"""The laboratory: simulated disks, what a power cut leaves of them, and whether a pool survives it."""
