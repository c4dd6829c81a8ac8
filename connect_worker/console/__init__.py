"""The web console: what the command line tells of the ledger, in a browser."""
