"""Parses rows of many layouts into preference pairs."""
