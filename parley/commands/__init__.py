"""The command's groups; each imports what it needs only when it runs."""
