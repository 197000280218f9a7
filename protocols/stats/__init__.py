"""Statistics over columns of several parties: binning by evidence, summaries, drift, correlation."""
