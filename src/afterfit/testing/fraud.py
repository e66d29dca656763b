"""A card-fraud data set of our own making, and a model trained on it: the demo's material.

Everything is drawn from one seed. Rows are in time order; the last month's behaviour has drifted:
the fraudsters moved to another merchant category and to smaller amounts, a new country appears,
and the device is missing more often.
"""

from __future__ import annotations

from typing import Any

import numpy as np

ROWS = 60_000
MONTHS = 6
SECONDS_OF_A_MONTH = 30 * 24 * 3600
START = np.datetime64("2026-01-01T00:00:00")

CATEGORIES = ("grocery", "fuel", "restaurant", "electronics", "travel", "gaming", "pharmacy")
COUNTRIES = ("DE", "FR", "NL", "PL", "ES", "IT", "GB")
DEVICES = ("ios", "android", "web", "terminal")
NEW_COUNTRY = "RO"

_CATEGORY_SHARES = (0.30, 0.16, 0.20, 0.09, 0.07, 0.08, 0.10)
_COUNTRY_SHARES = (0.42, 0.16, 0.12, 0.10, 0.08, 0.07, 0.05)
_DEVICE_SHARES = (0.28, 0.34, 0.18, 0.20)
_AMOUNT_LOG_MEAN = {
    "grocery": 3.4,
    "fuel": 3.9,
    "restaurant": 3.3,
    "electronics": 5.0,
    "travel": 5.4,
    "gaming": 2.9,
    "pharmacy": 2.8,
}
_RISK = {"electronics": 1.1, "travel": 0.9, "gaming": 1.5}
_BASE_LOGIT = -8.55

FEATURES = (
    "amount",
    "merchant_category",
    "country",
    "hour",
    "device",
    "account_age_days",
    "transactions_last_day",
    "distance_km",
    "card_present",
)
TARGET = "fraud"
TIME = "time"


def make_fraud(
    rows: int = ROWS, *, seed: int = 7, months: int = MONTHS, drifted: bool = False
) -> dict[str, np.ndarray]:
    """Return a table of card payments as a frame, in time order, with ``time`` and ``fraud``.

    ``fraud`` is "yes" in about 1.5 % of the rows. ``drifted`` gives one later month whose
    behaviour has changed. Amounts are EUR, distances km, ages days.
    """
    random = np.random.default_rng([seed, int(drifted)])
    seconds = np.sort(random.uniform(0, months * SECONDS_OF_A_MONTH, rows))
    offset = MONTHS * SECONDS_OF_A_MONTH if drifted else 0
    moment = START + (seconds + offset).astype("timedelta64[s]")
    frame = _behaviour(random, rows, seconds, drifted=drifted)
    frame[TARGET] = _labels(random, frame, drifted=drifted)
    _forget(random, frame, drifted=drifted)
    return {TIME: moment.astype(str).astype(object), **frame}


def train_fraud(frame: dict[str, np.ndarray], *, seed: int = 7) -> Any:
    """Return a scikit-learn pipeline fitted on the rows of ``make_fraud``."""
    import pandas as pd
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder

    words = ["merchant_category", "country", "device"]
    numbers = [name for name in FEATURES if name not in words]
    encode = ColumnTransformer(
        [
            ("words", OneHotEncoder(handle_unknown="ignore", sparse_output=False), words),
            ("numbers", "passthrough", numbers),
        ]
    )
    boosting = HistGradientBoostingClassifier(
        max_iter=80, learning_rate=0.07, max_leaf_nodes=12, l2_regularization=5.0, random_state=seed
    )
    pipeline = Pipeline([("encode", encode), ("boosting", boosting)])
    table = pd.DataFrame({name: frame[name] for name in FEATURES})
    return pipeline.fit(table, frame[TARGET].astype(str))


def _behaviour(
    random: np.random.Generator, rows: int, seconds: np.ndarray, *, drifted: bool
) -> dict[str, np.ndarray]:
    category = random.choice(CATEGORIES, rows, p=_CATEGORY_SHARES).astype(object)
    log_mean = np.array([_AMOUNT_LOG_MEAN[name] for name in category])
    amount = np.exp(random.normal(log_mean, 0.7)).round(2)
    country = random.choice(COUNTRIES, rows, p=_COUNTRY_SHARES).astype(object)
    if drifted:
        country[random.random(rows) < 0.06] = NEW_COUNTRY
    hour = (seconds // 3600 % 24).astype(np.int64)
    return {
        "amount": np.maximum(amount, 0.5),
        "merchant_category": category,
        "country": country,
        "hour": hour,
        "device": random.choice(DEVICES, rows, p=_DEVICE_SHARES).astype(object),
        "account_age_days": random.gamma(2.0, 400.0, rows).astype(np.int64),
        "transactions_last_day": random.poisson(1.8, rows).astype(np.int64),
        "distance_km": random.exponential(12.0, rows).round(1),
        "card_present": random.random(rows) < 0.62,
    }


def _labels(
    random: np.random.Generator, frame: dict[str, np.ndarray], *, drifted: bool
) -> np.ndarray:
    category = frame["merchant_category"]
    risk = dict(_RISK, pharmacy=2.6, gaming=0.2) if drifted else _RISK
    amount_effect = 0.1 if drifted else 0.75
    logit = _BASE_LOGIT + np.array([risk.get(name, 0.0) for name in category])
    logit += amount_effect * (np.log(frame["amount"]) - 3.0)
    logit += 1.3 * ((frame["hour"] < 6) | (frame["hour"] > 22))
    logit += 1.6 * (frame["account_age_days"] < 60) + 0.35 * frame["transactions_last_day"]
    logit += 0.045 * np.minimum(frame["distance_km"], 80) + 1.1 * ~frame["card_present"]
    logit += 0.8 * (frame["country"] == NEW_COUNTRY)
    # What a linear model cannot see: new accounts that shop from afar, and odd hours online.
    new_and_far = (frame["account_age_days"] < 120) & (frame["distance_km"] > 20)
    odd_and_online = (frame["hour"] < 6) & ~frame["card_present"] & (category != "grocery")
    logit += (0.6 if drifted else 2.4) * new_and_far + (0.4 if drifted else 1.8) * odd_and_online
    fraud = random.random(len(logit)) < 1 / (1 + np.exp(-logit))
    return np.where(fraud, "yes", "no").astype(object)


def _forget(random: np.random.Generator, frame: dict[str, np.ndarray], *, drifted: bool) -> None:
    """Take away some values, as happens: the device, the distance and the account's age."""
    rows = len(frame["amount"])
    frame["device"][random.random(rows) < (0.30 if drifted else 0.04)] = None
    frame["distance_km"][random.random(rows) < 0.05] = np.nan
    age = frame["account_age_days"].astype(np.float64)
    age[random.random(rows) < 0.02] = np.nan
    frame["account_age_days"] = age
