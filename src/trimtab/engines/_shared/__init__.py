"""Helpers that several engines use."""
