"""Files and directories: what the ZPL keeps in an object set."""
