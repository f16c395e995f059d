"""The audit log: who did what, when, by which rule and with which outcome, so that no change of it stays unseen."""
