"""The server that ships in an image."""
