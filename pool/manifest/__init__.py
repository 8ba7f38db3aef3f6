"""Manifests: every file, directory, link and volume of a pool in one JSON object each, with checksums of all content.

A manifest is JSON Lines. It can be compared with a pool now or years later, whatever happened to the disks meanwhile.
"""

from __future__ import annotations

from .compare import Comparison, compare, read_manifest
from .entries import entries

__all__ = ["Comparison", "compare", "entries", "read_manifest"]
