"""The Celery workers: `send` hosts the sender, `work` does everything else, beat rings both.

The work stands in the database. A task carries at most an id and means "look, there may be work".
"""
