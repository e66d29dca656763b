"""The probe kit: what measures one replica on a finalist's machine, and the reading of results."""
