"""One processor for each kind, as a vendor would write it; `make demo` runs them."""
