"""The step that makes a model fast and proves that it still says the same."""
