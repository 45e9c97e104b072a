"""Prompts sent to models: text, data, and the code that renders and parses them."""
