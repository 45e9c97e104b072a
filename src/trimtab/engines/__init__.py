"""How language models are asked: one file a kind."""
