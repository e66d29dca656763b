"""The step that attacks a model before users do."""
