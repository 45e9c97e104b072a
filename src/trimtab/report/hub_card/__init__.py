"""The cards of labels and students that are uploaded to the Hugging Face Hub."""
