"""The life of a worker: Celery's app and tasks, the worker's process and its children, and beat."""
