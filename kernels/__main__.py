"""``python -m uberblock.kernels``: which kernels run on this machine, and why."""

from . import table

print(table())
