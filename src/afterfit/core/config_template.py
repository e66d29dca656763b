"""The ``afterfit.toml`` that ``afterfit init`` writes."""

from __future__ import annotations

__all__ = ["TEMPLATE"]

TEMPLATE = """\
# Afterfit reads this file from the folder you work in, or the nearest one above it.
# Every setting may also be given as an environment variable (AFTERFIT_SERVE_PORT=9000) or, where
# a command has such an option, on the command line, which wins. See: afterfit config show

# Where records and versions are: a folder, or what a team shares (its password: ~/.pgpass).
# workspace = "postgresql://ana@db.example/team?blobs=s3://bucket/afterfit"

# A gate is [step.]metric[.low|.high] and >=, <=, >, < or == and a number. A version is promoted
# only if every gate passes; the same gates serve as alarms later. `.low` and `.high` mean the
# bounds of the 95 % interval: "f1.low >= 0.80" asks that you can be sure of it.
gates = [
    "baseline_lift > 0",        # better than the trivial baseline
    # "f1 >= 0.80",
    # "latency_p99_ms <= 20",
]

[model]
# name = "churn"
# positive = "yes"              # the class whose probability the threshold is compared with
# threshold = 0.5
# classes = ["no", "yes"]       # only where the file holds no names (a booster)
# code = "src/"                 # your own code that the model cannot be loaded without

[data]
# target = "churned"
# time = "date"                 # rows are in the order of this column
# group = "household"           # rows of one group stay together in cross-validation
# entity = "customer_id"        # identifies a row's subject; labels can be joined by it

[line]
# effort = "standard"           # quick (about 60 s), standard (5 min) or full
# seed = 0
# folds = 5                   # by default 3, 5 or 10, by effort; 0 for no cross-validation
# goal = "latency"              # what counts of two forms: "latency", "throughput" or "size"
# refit = "train:fit"           # module:function(frame, target) -> model, for cross-validation

[cost]
# false_negative = 50           # what a miss costs, and what a false alarm does, in any one unit:
# false_positive = 1            # the cheapest threshold is then looked for
# true_positive = 0             # what a hit gains
# true_negative = 0

[fairness]
# columns = ["sex"]             # groups are compared; the model need not take such a column

[compare]
# margin = 0.005                # a loss beside the champion that would not matter

[optimize]
# allow = ["prune", "distil"]   # may change answers: quantize, prune, distil, recalibrate
# max_drop = 0.005              # the largest loss of the metric that may be certified
# metric = "accuracy"           # by default accuracy, for a regression mae
# batch = 256                   # rows a call that are measured beside single ones
# budget = 180                  # seconds for the step; 0 is by effort

[ood]
# scorer = "auto"               # "mahalanobis", "distance", "forest", "softmax", or "none"
# rate = 0.01                   # the share of usual rows that may be flagged as unlike it

[robustness]
# monotone = {income = "up"}    # the answer may only rise ("up") or fall ("down") with a column
# fixed = ["age"]               # columns that nobody can move to get another decision

[platforms]
# require = ["region=eu"]       # hipaa, own_keys, gpu=16, availability=99.9, budget=50
# weights = {cost = 4, latency = 1.5, scalability = 1.5, integration = 1.5, security = 1.5}
# survive = "replica"           # the loss that must do no harm: "none", "replica", "zone"
# confirmed = []                # what you found out of what the catalog does not know

[card]
# owner = "Risk team, risk@example.com"
# license = "apache-2.0"        # and intended_use, out_of_scope, training_data, limits, dataset

[serve]
# host = "127.0.0.1"
# port = 8080
# workers = 2                   # one for each processor, unless you say otherwise
# keys = "keys.json"            # API keys: afterfit key create NAME --role predict
# tls_cert = "server.pem"       # and tls_key, and client_ca for certificates of clients
# deadline_ms = 0               # drop requests that waited for longer; 0 keeps them
# admission_rps = 0             # turn away beyond so many requests/s; 0: only a full queue
# capture = "none"              # inputs kept beside every prediction: "all", or ["age", "job"]

[monitor]
# window = "1h"                 # or "5000 rows"
# false_alarms_per_month = 1
# slices = ["country"]          # each value is watched apart
# slo = ["p99 < 50 ms", "available 99.9"]

[alarms]
# channels = {ops = "env:OPS_CHANNEL"}  # the variable holds the address: slack://..., mailtos://...
# gates = ["revenue >= 3"]      # beside those at the top, also on figures of your own
# figures = {revenue = "column:revenue"}  # or a query, asked of: database = "env:DATABASE"
# actions = ["rollback"]        # and pause_canary, retrain; only said, not done, while:
# dry_run = true
"""
