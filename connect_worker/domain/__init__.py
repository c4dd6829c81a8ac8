"""What is decided and what follows from it: pure values and functions, no clock, no I/O."""
