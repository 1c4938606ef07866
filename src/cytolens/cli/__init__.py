"""The command line, one file a verb. Heavy libraries are imported inside the commands."""
