"""WHAT is decided and what follows from it; pure: no clock, no network, no store."""
