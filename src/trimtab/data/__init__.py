"""Dataset splits, subsampling and the parsing of rows into preference pairs."""
