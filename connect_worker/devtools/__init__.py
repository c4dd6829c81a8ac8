"""Tools for people who develop processors: the demo, `dev`, and new projects."""
