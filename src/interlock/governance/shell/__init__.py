"""Shell text understood, or refused: words, structure, expansion, argument profiles, paths, rules."""
