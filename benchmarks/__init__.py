"""Trimtab beside what its users have, on the same pairs and in the same run. Not part of the package."""
