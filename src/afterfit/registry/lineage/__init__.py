"""Where data and code of a version came from: DVC and Git."""
