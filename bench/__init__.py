"""Measures Interlock against its peers and against what the machine can do, in one run, as ratios."""
