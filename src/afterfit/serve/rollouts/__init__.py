"""Rollouts that watch themselves: a canary in steps, judged at every look, with a way back."""
