"""One processor per kind, as a vendor would write them; `make demo` runs them."""
