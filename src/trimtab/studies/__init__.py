"""Studies that ship inside the package."""
