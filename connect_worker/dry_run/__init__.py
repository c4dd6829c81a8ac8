"""Processors tried out: run by the real engine, with a memory of its own, and nothing sent."""
