"""Groups of rows that nobody labelled, found over the columns of several parties."""
