"""The receiver of Connect's notifications, and its webhooks in the account."""
