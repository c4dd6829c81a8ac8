"""The documentation's site: tables from the code, pages from the tree, a check of the HTML."""
