"""What agents may touch, never without a Gate in hand."""
