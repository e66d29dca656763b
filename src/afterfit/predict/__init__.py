"""The step that scores a whole table."""
