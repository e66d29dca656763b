"""The step that finds what a server can carry."""
