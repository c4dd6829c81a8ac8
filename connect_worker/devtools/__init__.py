"""`connect-worker demo` and `dev`, and the supervisor and stack that the test kit shares."""
