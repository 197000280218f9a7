"""Statistics of columns: by each party alone, and over columns and labels of several."""
