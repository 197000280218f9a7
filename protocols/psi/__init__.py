"""Private set intersection: which records several parties have in common."""
