"""A local Connect and a vendor's provisioning system, which run as a process of their own.

The sandbox imports nothing from the rest of ``connect_worker``. It was written from the
description of the API independently, so that one misunderstanding cannot be in both.
"""
