"""What an administrator runs: accounts, sites, bundles, retention, the audit log."""
