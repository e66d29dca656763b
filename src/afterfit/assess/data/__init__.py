"""Whether the rows can be trusted: leakage between the tables, their columns, and their labels."""
