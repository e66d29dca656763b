"""One adapter per framework, and the audit that looks before anything is loaded."""
