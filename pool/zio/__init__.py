"""Floor 3: blocks. Read, verified, decrypted, decompressed, repaired; in batches."""
