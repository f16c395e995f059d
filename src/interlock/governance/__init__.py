"""May it, who says, what did it cost."""
