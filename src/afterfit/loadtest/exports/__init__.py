"""Load tests as scripts of other tools."""
