"""Images by the OCI specification, made and moved without a daemon, a builder or root."""
