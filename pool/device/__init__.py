"""Floor 1: things with bytes at offsets. They know nothing of pools."""
