"""Floor 2: the tree of virtual devices. Where bytes of a pool lie on its disks."""
