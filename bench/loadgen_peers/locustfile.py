"""Locust's faster client, which sends one body again and again."""

from __future__ import annotations

import os

from locust import FastHttpUser, task


class Sender(FastHttpUser):
    """A user without think time."""

    @task
    def predict(self) -> None:
        """Send the body."""
        headers = {"Content-Type": "application/json"}
        self.client.post("/predict", data=os.environ["BENCH_BODY"], headers=headers)
