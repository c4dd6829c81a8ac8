"""Settings: their values, where they come from, accounts, documentation and misspelled names."""
