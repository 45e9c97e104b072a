"""Where pairs come from, one file a source, and how they part into labeled, unlabeled and test."""

NOT_COMPONENTS = ("split",)
