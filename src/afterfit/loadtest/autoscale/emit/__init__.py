"""Settings for the controllers that people run, each number with its reason beside it."""
