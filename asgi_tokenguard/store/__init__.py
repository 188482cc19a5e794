"""Where sessions live: the only importers of redis."""
