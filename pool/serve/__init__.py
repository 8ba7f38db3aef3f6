"""Thin adapters that hand a pool's content to other programs."""
