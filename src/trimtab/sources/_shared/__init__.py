"""Helpers that several sources use."""
