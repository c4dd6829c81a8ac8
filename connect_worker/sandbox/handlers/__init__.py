"""The endpoints, one file per part of the API; each is a function from a call to a reply."""
