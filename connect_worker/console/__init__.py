"""The web console: what the commands show of the ledger, in a browser."""
