"""The kernels: code that moves bytes.

Parity, checksums, decompressors and batched block I/O. Every function takes buffers and batches, releases the
interpreter lock, and knows nothing of pools.
"""
