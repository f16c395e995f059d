"""The shapes work can take, each a small program over the engine."""
