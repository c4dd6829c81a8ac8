"""Tools for maintainers; none of them is installed with the worker."""
