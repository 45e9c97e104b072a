"""Describes this machine and installation, and what a study needs that is missing here."""
