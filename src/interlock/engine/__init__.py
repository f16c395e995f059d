"""How work is done once and only once."""
