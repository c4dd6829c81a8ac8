"""The documentation's site: tables from the code, pages from the tree, and a check of the whole."""
