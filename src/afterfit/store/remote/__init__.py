"""Blobs and records in an object store, each with a copy on this machine."""
