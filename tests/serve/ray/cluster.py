"""A cluster of two nodes with one processor each; run by a Python that has Ray.

It prints the address of its GCS, then, for each line of standard input, the free processors of each
node as JSON. The end of standard input is its own.
"""

from __future__ import annotations

import json
import sys

import ray
from ray.cluster_utils import Cluster

STORE = 80 << 20


def main() -> None:
    """Start the nodes, tell, and answer until nobody asks."""
    node = {"num_cpus": 1, "object_store_memory": STORE}
    head = {**node, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    cluster.add_node(**node)
    cluster.wait_for_nodes()
    ray.init(address=cluster.address, log_to_driver=False, namespace="asks")
    print(cluster.address, flush=True)  # noqa: T201 - whoever started it reads this
    for _ in sys.stdin:
        free = ray._private.state.available_resources_per_node()
        alive = [each["NodeID"] for each in ray.nodes() if each["Alive"]]
        print(json.dumps([free[n].get("CPU", 0.0) for n in alive]), flush=True)  # noqa: T201 - as above
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
