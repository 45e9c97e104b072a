# Asked for by a setting of its own: it gives no answer a score.
NOT_COMPONENTS = ("similarity",)
