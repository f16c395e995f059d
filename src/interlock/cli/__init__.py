"""The platform's verbs for people in a shell."""
