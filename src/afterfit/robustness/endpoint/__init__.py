"""Strange requests to a server that runs, ours or another's, and what it did with each."""
