"""Components that compare two responses: one module per kind."""
