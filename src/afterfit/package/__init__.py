"""The step that turns a model into a bundle and into what a destination runs."""
