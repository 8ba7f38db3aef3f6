"""Benchmarks: ratios against peers, taken in one run."""
