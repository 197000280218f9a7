"""The coordinator's memory: one transaction per state change, with its instructions and its event lines."""
