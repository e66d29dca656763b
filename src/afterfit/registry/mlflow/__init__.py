"""Models that come from an MLflow server, and versions that go to one."""
