"""Components that score completions (gold rewards): one module per kind."""
