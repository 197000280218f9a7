"""What every protocol must survive and may not show, beside `conformance`: functions that tests call with their cases.

`replay`, `mutants`, `fuzz`: one role against a recording in which messages were changed. `transit`: sealed messages
changed on their way. `indistinguishable`: real transcripts against simulated ones. `golden`: what stands on the wire,
as a record. A run of these is only as good as its oracle, its simulators and the leaks planted to test the test; those
live with the tests.
"""
