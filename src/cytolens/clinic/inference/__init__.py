"""From uploaded files to findings: the queue in the database, and the processes that empty it."""
