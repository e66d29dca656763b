"""The scorer of a bundle: made of reference rows, chosen on made-up ones, set to a rate."""
