"""Public checks for plugins, with sample data and models."""
