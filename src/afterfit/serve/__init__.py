"""The step that brings an endpoint up."""
