"""How good a model is: measures of kept scores against kept or local labels."""
