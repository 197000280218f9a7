"""Learning at one party: boosted trees, and the measures by which every model is judged."""
