"""Linear models over columns of several parties."""
