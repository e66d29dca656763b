"""The step that keeps versions, aliases and the way back."""
