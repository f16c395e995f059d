"""Where facts rest."""
