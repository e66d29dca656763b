"""The step that says what a model file is and whether it can be trusted."""
