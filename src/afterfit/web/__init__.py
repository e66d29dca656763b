"""The dashboard: what the workspace knows, as pages that a browser and a program both can read."""
