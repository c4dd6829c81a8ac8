"""What bends Celery and Flower to the worker: one file a concern."""
