"""Floor 1: what bytes mean. Layouts, each declared once, with pure functions that decode and encode them."""
