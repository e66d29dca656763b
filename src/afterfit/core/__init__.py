"""The nouns: numpy and msgspec only."""
