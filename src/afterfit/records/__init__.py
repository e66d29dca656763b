"""The frozen results of the steps, one struct each."""
