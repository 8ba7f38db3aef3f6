"""Floor 9: the command ``uberblock``. Words in, lines out; everything it knows it asks of the floors below."""
