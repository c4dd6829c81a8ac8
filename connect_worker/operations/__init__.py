"""What a person sees of a ledger and has done to it, whatever it is shown on."""
