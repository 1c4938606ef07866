"""The interface for machines, a file a group."""
