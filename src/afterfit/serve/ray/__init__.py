"""Ray Serve as the engine of an endpoint; nothing here imports ray before it is used."""
