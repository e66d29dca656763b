"""Two networks beside eager PyTorch, and beside what other tools make of the same graph.

The networks, their rows and their training are `afterfit.testing.networks`, seed 0. All graphs run
in one harness: ONNX Runtime, one thread, the session options that Afterfit serves with; answers
are judged on the same rows, which made and selected nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rivals
import shipping
import timing

from afterfit.core.dataset import Dataset
from afterfit.core.signature import Signature
from afterfit.models.loaded import Hints, open_model
from afterfit.optimize.config import OptimizeConfig
from afterfit.optimize.lossy import Means
from afterfit.optimize.made import KeptInFolder
from afterfit.optimize.split import Part, split
from afterfit.runtime.onnx import onnx_session
from afterfit.stats.noninferior import accuracy_drop
from afterfit.testing import networks as reference

MAX_DROP = 0.01
ALPHA = 0.05 / 3
BATCHES = (1, 32)
LEAVE = {
    "int8": ("quantize",),
    "pruned": ("quantize", "prune"),
    "all": ("quantize", "prune", "distil"),
}
CALIBRATION = 300


@dataclass(frozen=True)
class Network:
    """A network, what it learns, and how many times faster its forms have to become."""

    name: str
    title: str
    factory: str
    rows: Callable[[], reference.Rows]
    epochs: int
    goals: dict[str, float]
    transformer: bool = False


NETWORKS = (
    Network(
        "cnn",
        "four convolutions, 279,000 weights, digits",
        "make_digits_cnn",
        lambda: reference.digits(test=930),
        20,
        {"int8": 3.0, "pruned": 4.5},
    ),
    Network(
        "transformer",
        "two layers of attention, 527,000 weights, sentences",
        "make_text_transformer",
        reference.sentences,
        4,
        {"int8": 1.5, "all": 1.5},
        transformer=True,
    ),
)


def trained(network: Network, rows: reference.Rows, cache: Path) -> tuple[Path, Any]:
    """The file of the network's weights, and the network itself."""
    import torch
    from safetensors.torch import load_file, save_file

    path = shipping.kept(cache, network.name, [reference], ["torch"])
    path = path.with_name(f"{path.name}-{network.epochs}.safetensors")
    torch.manual_seed(0)
    net = getattr(reference, network.factory)()
    if not path.is_file():
        reference.train(net, rows.train, rows.train_target, epochs=network.epochs)
        save_file(net.state_dict(), path)
    net.load_state_dict(load_file(path))
    return path, net.eval()


def run(cache: Path, folder: Path, seconds: float, peers: tuple[str, ...]) -> list[dict[str, Any]]:
    """Each network: its forms, with times and losses."""
    import torch

    torch.set_num_threads(1)
    return [one(network, cache, folder / network.name, seconds, peers) for network in NETWORKS]


def one(
    network: Network, cache: Path, folder: Path, seconds: float, peers: tuple[str, ...]
) -> dict[str, Any]:
    """Measure one network."""
    rows = network.rows()
    weights, net = trained(network, rows, cache)
    classes = tuple(range(int(rows.train_target.max()) + 1))
    signature = shipping.signature_of(rows.train, "multiclass", classes)
    code = folder / "code"
    code.mkdir(parents=True, exist_ok=True)
    (code / "nets.py").write_text(
        f"from afterfit.testing.networks import {network.factory} as make\n__all__ = ['make']\n"
    )
    source = f"nets:make@{weights}"
    data = Dataset(frame=rows.test, target=rows.test_target)
    train = Dataset(frame=rows.train, target=rows.train_target)
    judging = split(signature, data, train, 0).certification
    forms = {"PyTorch, eager": Form(None, weights.stat().st_size, net=net)}
    graph, tensor = exported(source, signature, code, folder)
    forms["Afterfit, onnx-float32"] = Form(graph, len(graph))
    means = Means(train=train, kept=KeptInFolder(cache / "made"))
    chosen = {}
    for leave, allow in LEAVE.items():
        config = OptimizeConfig(
            effort="quick", batches=BATCHES, allow=allow, max_drop=MAX_DROP, seconds=240.0
        )
        shipped = shipping.ship(
            source, signature, data, config, folder / leave, means=means, code=code
        )
        chosen[leave] = {"variant": shipped.record.chosen, "status": shipped.status}
        if shipped.graph is not None:
            chosen[leave]["form"] = f"Afterfit, {shipped.record.chosen}"
            forms[f"Afterfit, {shipped.record.chosen}"] = Form(shipped.graph, shipped.size)
        print(f"  {network.name}: {'+'.join(allow)}: {shipped.record.chosen}", file=sys.stderr)
    some = np.linspace(0, len(rows.train_target) - 1, CALIBRATION).astype(int)
    calibration = {name: values[some] for name, values in rows.train.items()}
    made = rivals.make(
        peers, graph, _tensor(calibration, tensor), rows.train_target[some], cache,
        transformer=network.transformer,
    )  # fmt: skip
    refused = {}
    for name, outcome in made.items():
        if "file" in outcome:
            content = Path(outcome["file"]).read_bytes()
            forms[name] = Form(content, len(content))
        else:
            refused[name] = outcome["error"]
    measured = measure(forms, judging, tensor, seconds, refused)
    return {
        "name": network.name,
        "title": network.title,
        "goals": network.goals,
        "certification_rows": judging.rows,
        "max_drop": MAX_DROP,
        "chosen": chosen,
        "forms": measured,
        "refused": refused,
    }


@dataclass(frozen=True)
class Form:
    """A graph, or the network in PyTorch."""

    graph: bytes | None
    size: int
    net: Any = None

    def caller(self) -> Callable[[np.ndarray], np.ndarray]:
        """A function from a tensor to answers; raises whatever the graph's runtime raises."""
        if self.graph is None:
            import torch

            def eager(x: np.ndarray) -> np.ndarray:
                with torch.inference_mode():
                    return np.asarray(self.net(torch.from_numpy(x)).numpy())

            return eager
        session = onnx_session(self.graph)
        name = session.get_inputs()[0].name
        return lambda x: np.asarray(session.run(None, {name: x})[0])


def exported(source: str, signature: Signature, code: Path, folder: Path) -> tuple[bytes, Any]:
    """The float graph of the network, which every tool starts from, and what its tensor is."""
    hints = Hints.of(signature)
    with open_model(source, hints=hints, code=code, workdir=folder) as model:
        attempt = model.call("afterfit.models.convert:attempts")[0]
        made = model.call("afterfit.models.convert:to_onnx", signature=signature, attempt=attempt)
    if made.error:
        raise RuntimeError(f"no graph of {source}: {made.error}")
    return made.data, made.inputs[0]


def _tensor(frame: dict[str, np.ndarray], tensor: Any) -> np.ndarray:
    from afterfit.runtime.onnx import feed

    return np.ascontiguousarray(feed(frame, tensor))


def measure(
    forms: dict[str, Form], judging: Part, tensor: Any, seconds: float, refused: dict[str, str]
) -> dict[str, Any]:
    """Loss, size and times by form, all in turn; a graph that does not run is refused."""
    if judging.truth is None:
        raise ValueError("the rows that judge have no labels")
    x = _tensor(dict(judging.frame), tensor)
    callers, answers = {}, {}
    for name, form in forms.items():
        try:
            callers[name] = form.caller()
            answers[name] = callers[name](x).argmax(axis=1)
        except Exception as error:  # noqa: BLE001 - another tool's graph may raise anything
            refused[name] = f"does not run: {str(error).splitlines()[0][:160]}"
    base = next(iter(forms))
    right = {name: answer == judging.truth for name, answer in answers.items()}
    found: dict[str, Any] = {}
    for name in callers:
        drop = accuracy_drop(right[base], right[name], ALPHA)
        found[name] = {
            "bytes": forms[name].size,
            "accuracy": float(right[name].mean()),
            "drop": drop.value,
            "drop_at_most": drop.high,
            "certified": bool(drop.high < MAX_DROP),
            "batches": {},
        }
    for count in BATCHES:
        calls = {name: lambda call=call, n=count: call(x[:n]) for name, call in callers.items()}
        times = timing.in_turn(calls, seconds * len(calls) / 3)
        for name, spent in times.items():
            found[name]["batches"][str(count)] = {
                **timing.told(spent),
                "faster": timing.faster(times[base], spent),
            }
    return found


HEAD = (
    "| form | right | loses at most | within a point for sure | file "
    "| 1 row: µs, times as fast as eager | 32 rows: µs, times as fast |"
)


def table(results: list[dict[str, Any]]) -> str:
    """The tables for people, one a network."""
    return "\n\n".join(_one_table(one) for one in results)


def _one_table(one: dict[str, Any]) -> str:
    title = one["title"][0].upper() + one["title"][1:]
    lines = [
        f"**{title}**; {one['certification_rows']:,} rows that judge.",
        "",
        HEAD,
        "|---" * 7 + "|",
        *(_line(name, form) for name, form in one["forms"].items()),
        *(f"| {name} | {why} | | | | | |" for name, why in one["refused"].items()),
        "",
    ]
    allowed = "; ".join(
        f"`--allow {','.join(LEAVE[leave])}`: `{picked['variant']}`, {picked['status']}"
        for leave, picked in one["chosen"].items()
    )
    return "\n".join([*lines, f"What Afterfit ships: {allowed}."])


def _line(name: str, form: dict[str, Any]) -> str:
    cells = [
        name,
        f"{form['accuracy']:.2%}",
        f"{form['drop_at_most']:+.2%}",
        "yes" if form["certified"] else "no",
        f"{form['bytes'] / 1e3:,.0f} KB",
    ]
    for count in BATCHES:
        batch = form["batches"][str(count)]
        cells.append(f"{batch['median_us']:,.0f}, **{batch['faster']['by_median']:.2f}**")
    return f"| {' | '.join(cells)} |"


def missed(results: list[dict[str, Any]]) -> list[str]:
    """What fell short of what was promised, a line each."""
    found = []
    for one in results:
        forms = one["forms"]
        for leave, goal in one["goals"].items():
            form = forms.get(one["chosen"][leave].get("form", ""))
            speed = form["batches"]["1"]["faster"]["by_median"] if form else 1.0
            if speed < goal or form is None or not form["certified"]:
                found.append(
                    f"{one['name']}: {one['chosen'][leave]['variant']} ({leave}) is {speed:.2f}x, "
                    f"{goal}x and a certificate are wanted"
                )
        found += _behind(one)
    return found


def _behind(one: dict[str, Any]) -> list[str]:
    """Where another tool's certified graph is faster than what Afterfit chose."""
    forms, picked = one["forms"], one["chosen"]["all"].get("form", "")
    if picked not in forms:
        return []
    ours = forms[picked]["batches"]["1"]["median_us"]
    return [
        f"{one['name']}: {name} is faster than {picked} ({form['batches']['1']['median_us']:,.0f} "
        f"against {ours:,.0f} µs)"
        for name, form in forms.items()
        if not name.startswith(("Afterfit", "PyTorch"))
        and form["certified"]
        and 1.05 * form["batches"]["1"]["median_us"] < ours
    ]
