"""A rehearsal: scripted faults in replayed traffic, and what a monitor says of them."""
