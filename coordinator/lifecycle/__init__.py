"""Pure transition tables of jobs, steps and party links: (state, event) -> (state, effects), no I/O."""
