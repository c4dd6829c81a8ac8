"""WHEN things happen: polls, jobs, posts and sweeps, over the protocols in `ports`."""
