"""The nouns of the house: frozen, without I/O, known to everyone, knowing nobody."""
