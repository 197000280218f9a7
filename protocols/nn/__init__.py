"""Neural networks over columns of several parties."""
