"""The storage of a team: pointers and the audit log in PostgreSQL, bytes in an object store."""
