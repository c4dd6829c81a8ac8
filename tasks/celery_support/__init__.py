"""What adapts Celery and Flower to this project: one concern a file.

Each file says which fault or gap of Celery or Flower it answers, and which test notices when a new
version of them no longer needs it.
"""
