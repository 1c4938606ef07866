"""Accounts: passwords, second factor, sessions, invitations, tokens."""
