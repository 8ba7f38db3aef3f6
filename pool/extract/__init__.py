"""Copying out of a pool: into a folder, into a tar stream, a volume into a file.

Nothing outside the target is ever written, whatever names and links a pool holds.
"""

from __future__ import annotations

from .content import Told
from .folder import copy_out
from .image import copy_volume
from .tar import tar_out

__all__ = ["Told", "copy_out", "copy_volume", "tar_out"]
