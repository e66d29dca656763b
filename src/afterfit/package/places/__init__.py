"""Destinations that are files beside an image: what a cluster or a host is told to run."""
