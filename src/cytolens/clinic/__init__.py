"""The expert system: from specimen to signed report, for administrator, doctor and director."""
