"""Components that run language models: one module or package per kind."""
