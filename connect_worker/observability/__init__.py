"""Log lines, the masking of secrets, and metrics."""
