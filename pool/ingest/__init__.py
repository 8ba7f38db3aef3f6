"""Copying into a pool: from files and folders, from a tar stream.

What is copied goes into transactions of many files, so that a tree of small files is not slowed by its number; a
crash leaves the pool with the first part of the tree.
"""

from __future__ import annotations

from .folder import copy_in
from .maker import Owner
from .tar import tar_in

__all__ = ["Owner", "copy_in", "tar_in"]
