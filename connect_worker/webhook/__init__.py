"""The receiver of Connect's notifications, and their registration in the account."""
