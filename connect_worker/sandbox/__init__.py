"""A stand-in for Connect and for a vendor's provisioning system, run as a process of its own.

It imports nothing from the rest of ``connect_worker``: what it believes about the API was read
from the API's description a second time, so that one misunderstanding cannot hide in both.
"""
