"""The step that finds the place of best value."""
