"""The step that watches an endpoint."""
