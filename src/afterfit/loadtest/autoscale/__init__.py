"""How many replicas a trace of requests needs, by simulated autoscalers."""
