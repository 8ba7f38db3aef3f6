"""Floor 2: space in memory. Sets of ranges, metaslabs, and how space maps and their logs add up to them."""
