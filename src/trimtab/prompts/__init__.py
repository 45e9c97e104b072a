"""What models are asked, as text and data."""
