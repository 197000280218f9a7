"""The policy file a new party home starts with."""

from __future__ import annotations

DEFAULT = """\
# What this party agrees to. The file is read again for every job and before every egress: tightening it stops a
# running job at its next message; loosening it takes effect with the next job. Its hash stands in every contract.
version: 1

# automatic: a job that breaks no rule below starts by itself. manual: it waits for `parley party approve JOB`.
approval: automatic

# Whose jobs are considered: `pinned` (every person pinned here with `parley party trust --person`), or a list of
# names out of these. A person who is not pinned is refused whatever stands here.
submitters: pinned

# With whom: `believed` (pinned, or vouched for by a pinned party), `pinned`, or a list of names out of the believed.
peers: believed

# Which protocols run here; * stands for anything.
protocols:
  allow: ["*"]
  deny: []

# The weakest adversary model accepted: semi-honest or malicious.
security: semi-honest

# What others may learn. `individual_updates` (one party's update, gradient or activation in clear), `rows`, and
# `matched_values` (columns of the records that a lookup found) are never covered by a *; to allow one of them, take it
# out of deny and write its full name into allow.
disclosures:
  allow: ["*"]
  deny: [individual_updates, rows]

# Which datasets may be used, and for which purposes (text of the job, * stands for anything).
datasets:
  allow: ["*"]
  deny: []
purposes:
  allow: ["*"]
  deny: []

# A dataset with fewer rows is not offered: statistics over a few people speak about each of them.
min_rows: 100

# Intersections are the protocols by which another party learns which or how many of its records are in a dataset of
# this party's too. `runs`: how often one party may probe one dataset, every attempt counted (a replaced dataset counts
# anew; `parley party budgets` shows what is left). `min_size`: rows that a probing party brings at least. `floor`: the
# least floor that a step must have, under which nobody gets positions; 0 asks for none, and anything else refuses
# protocols without a floor.
intersections:
  min_size: 1
  runs: 100
  per: receiver_dataset
  floor: 0
"""
