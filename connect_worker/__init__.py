"""Runs vendors' processors for Connect's pending requests; posts each decision exactly once."""
