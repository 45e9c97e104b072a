"""Components that load preference pairs: one module per kind."""
