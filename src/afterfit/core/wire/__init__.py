"""What is said over HTTP to a server under examination: connections, tensors, documents, rows."""
