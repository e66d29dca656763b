"""The pages: each a dataclass of what it knows, with the parts that it is shown as."""
