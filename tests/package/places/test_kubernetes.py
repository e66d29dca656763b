"""What is written for Kubernetes: taken by its schemas, hardened, each number with a reason."""

from __future__ import annotations

import shutil
import subprocess
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes_validate
import msgspec
import pytest
import yaml
from cyclopts import CycloptsError
from tests.package.places.place import CONFIG, document, packaged, unreasoned

from afterfit.cli.app import build
from afterfit.core.bundle import Bundle
from afterfit.errors import UsageError
from afterfit.package.places import kubernetes
from afterfit.package.places.told import KEYS
from afterfit.package.sizes import Sizes
from afterfit.runtime.options import parser

KUBECTL = shutil.which("kubectl")
VERSIONS = ("1.30", "1.34")
KINDS = {
    "autoscaler.yaml": "HorizontalPodAutoscaler",
    "deployment.yaml": "Deployment",
    "disruption.yaml": "PodDisruptionBudget",
    "network.yaml": "NetworkPolicy",
    "service.yaml": "Service",
    "serviceaccount.yaml": "ServiceAccount",
}


@pytest.fixture(scope="module")
def folder(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package with keys and measured sizes."""
    made = tmp_path_factory.mktemp("kubernetes") / "out"
    packaged("kubernetes", bundle, made)
    return made


def merged(base: Any, patch: Any) -> Any:
    """A strategic merge, as far as our patches need it: lists of named things merge by name."""
    if isinstance(base, dict) and isinstance(patch, dict):
        return {key: merged(base.get(key), patch[key]) if key in patch else base[key]
                for key in [*base, *(key for key in patch if key not in base)]}  # fmt: skip
    named = isinstance(base, list) and isinstance(patch, list)
    if named and all(isinstance(each, dict) and "name" in each for each in [*base, *patch]):
        patches = {each["name"]: each for each in patch}
        kept = [merged(each, patches.pop(each["name"], {})) for each in base]
        return kept + list(patches.values())
    return patch if patch is not None else base


def test_kubernetes_takes_every_file(folder: Path) -> None:
    """Strictly, by its own schemas; and a typing error in any of them would be seen."""
    assert {path.name for path in (folder / "base").iterdir()} == {*KINDS, "kustomization.yaml"}
    for name, kind in KINDS.items():
        found = document(folder / "base" / name)
        assert (found["kind"], found["metadata"]["name"]) == (kind, "churn")
        for version in VERSIONS:
            kubernetes_validate.validate(found, version, strict=True)
        found["metadata"]["nmae"] = "churn"
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(found, VERSIONS[-1], strict=True)


def test_what_follows_an_alias_is_taken_as_well(folder: Path) -> None:
    """The base with the overlay's patches: the command line, the workspace by reference, egress."""
    overlay = folder / "overlays" / "following"
    both = {
        name: merged(document(folder / "base" / name), document(overlay / name))
        for name in ("deployment.yaml", "network.yaml")
    }
    for found in both.values():
        kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
    pod = both["deployment.yaml"]["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert server["args"][:3] == ["serve", "churn@champion", "--follow"]
    assert not any(each.startswith("--admission-rps") for each in server["args"])
    (told,) = [each for each in server["env"] if each["name"] == "AFTERFIT_WORKSPACE"]
    assert told["valueFrom"]["secretKeyRef"] == {"name": "churn-workspace", "key": "url"}
    assert server["securityContext"]["readOnlyRootFilesystem"]
    ports = [each["port"] for rule in both["network.yaml"]["spec"]["egress"]
             for each in rule["ports"]]  # fmt: skip
    assert ports == [53, 53, 443, 5432]
    images = document(overlay / "kustomization.yaml")["images"]
    assert images[0]["newTag"] == "following"
    assert (folder / "following" / "Dockerfile").is_file()


def test_kustomize_finds_what_it_names(folder: Path) -> None:
    """Every resource and patch is a file; the image that is replaced is the Deployment's."""
    for place in (folder / "base", *(folder / "overlays").iterdir()):
        found = document(place / "kustomization.yaml")
        for name in [*found["resources"], *(each["path"] for each in found.get("patches", []))]:
            assert (place / name).exists(), name
    (image,) = document(folder / "overlays" / "baked" / "kustomization.yaml")["images"]
    server = document(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]["containers"]
    assert image["name"] == server[0]["image"]
    assert (image["newName"], image["newTag"]) == ("registry.example.com/team/churn", "3")


@pytest.mark.skipif(KUBECTL is None, reason="NOT RUN: kubectl, which has Kustomize, is not there")
@pytest.mark.parametrize("fleet", ["baked", "following"])
def test_kustomize_builds_each_fleet(folder: Path, fleet: str) -> None:
    """What would be applied, by Kustomize itself: taken by the schemas, with image and patches."""
    told = subprocess.run(
        [str(KUBECTL), "kustomize", str(folder / "overlays" / fleet)],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    found = {each["kind"]: each for each in yaml.safe_load_all(told)}
    assert set(found) == set(KINDS.values())
    for each in found.values():
        kubernetes_validate.validate(each, VERSIONS[-1], strict=True)
        assert each["metadata"]["namespace"] == "default"
    template = found["Deployment"]["spec"]["template"]
    (server,) = template["spec"]["containers"]
    tag = "3" if fleet == "baked" else "following"
    assert server["image"] == f"registry.example.com/team/churn:{tag}"
    for metadata in (template["metadata"], found["Deployment"]["metadata"]):
        # What follows may serve any version.
        assert ("afterfit.dev/digest" in metadata.get("annotations", {})) == (fleet == "baked")
    assert template["metadata"]["annotations"]["prometheus.io/scrape"] == "true"
    assert bool(found["NetworkPolicy"]["spec"].get("egress")) == (fleet == "following")
    assert (server["args"][0] == "serve") == (fleet == "following")
    assert server["startupProbe"]["failureThreshold"] >= (16 if fleet == "baked" else 31)
    assert {each["name"] for each in template["spec"]["volumes"]} == {"tmp", "keys"}
    assert server["securityContext"]["readOnlyRootFilesystem"]


def test_the_command_takes_the_words_of_a_follower(folder: Path) -> None:
    """They are options of ``afterfit serve``, and one that is none would be seen."""
    overlay = document(folder / "overlays" / "following" / "deployment.yaml")
    (server,) = overlay["spec"]["template"]["spec"]["containers"]
    parse = partial(build().parse_args, print_error=False, exit_on_error=False, help_on_error=False)
    _, bound, _ = parse(server["args"])
    told = bound.arguments
    assert (told["refs"], told["follow"]) == (("churn@champion",), True)
    assert (told["host"], told["port"], told["events"]) == ("0.0.0.0", 8080, "-")  # noqa: S104
    assert (told["workers"], told["threads"], str(told["keys"])) == (2, 1, KEYS)
    with pytest.raises(CycloptsError):
        parse([*server["args"], "--admission-rps=5"])


def test_what_follows_is_built_on_an_image_of_a_registry(bundle: Bundle, tmp_path: Path) -> None:
    """Also where the baked image is made here, on a base that lies in a folder."""
    config = msgspec.structs.replace(CONFIG, base="oci:/somewhere:1")
    assert kubernetes._under(config) == "python:3.11-slim-bookworm"
    packaged("kubernetes", bundle, tmp_path / "out", base="python:3.11@sha256:" + "0" * 64)
    text = (tmp_path / "out" / "following" / "Dockerfile").read_text("utf-8")
    assert f"\nFROM python:3.11@sha256:{'0' * 64}\n" in text


def test_the_pod_is_hardened(folder: Path) -> None:
    """No root, no token, no rights, a root that cannot be written, keys by reference only."""
    pod = document(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]
    (server,) = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    context = pod["securityContext"]
    assert (context["runAsNonRoot"], context["runAsUser"]) == (True, 10001)
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    inner = server["securityContext"]
    assert inner["capabilities"] == {"drop": ["ALL"]}
    assert (inner["allowPrivilegeEscalation"], inner["readOnlyRootFilesystem"]) == (False, True)
    (keys,) = [each for each in pod["volumes"] if each["name"] == "keys"]
    assert keys["secret"] == {"secretName": "churn-keys", "defaultMode": 0o440}
    texts = [path.read_text("utf-8") for path in folder.rglob("*.yaml")]
    assert not any("kind: Secret" in text for text in texts)
    assert document(folder / "base" / "network.yaml")["spec"]["egress"] == []
    needed = server["lifecycle"]["preStop"]["sleep"]["seconds"] + 25
    assert pod["terminationGracePeriodSeconds"] > needed


def test_the_server_takes_the_words_that_it_is_given(folder: Path) -> None:
    """They are options of the image's server, and the numbers those of the sizes."""
    server = document(folder / "base" / "deployment.yaml")["spec"]["template"]["spec"]["containers"]
    told = parser().parse_args(server[0]["args"])
    assert (told.workers, told.threads, told.admission_rps) == (2, 1, 812)
    assert told.keys.startswith(server[0]["volumeMounts"][1]["mountPath"])
    assert not told.allow_unauthenticated
    assert server[0]["resources"] == {
        "requests": {"cpu": "2500m", "memory": "384Mi"}, "limits": {"cpu": "3", "memory": "416Mi"},
    }  # fmt: skip
    assert server[0]["startupProbe"]["failureThreshold"] * 2 >= 31
    hpa = document(folder / "base" / "autoscaler.yaml")["spec"]
    assert (hpa["minReplicas"], hpa["maxReplicas"]) == (3, 20)
    assert hpa["metrics"][0]["resource"]["target"]["averageUtilization"] == 55


def test_every_number_has_its_reason_beside_it(folder: Path) -> None:
    """In the same line, whatever is in the reason."""
    base = folder / "base"
    assert unreasoned(base / "deployment.yaml", "cpu|memory|--workers|--threads") == []
    assert unreasoned(base / "autoscaler.yaml", "minReplicas|maxReplicas|averageUtilization") == []
    text = (base / "deployment.yaml").read_text("utf-8")
    assert "# it took 290 MiB: with # and kind: Evil in it\n" in text


def test_without_keys_registry_and_load_test(bundle: Bundle, tmp_path: Path) -> None:
    """Nothing is mounted, the server is told that it is meant; what is missing is told as tips."""
    out = tmp_path / "out"
    record = packaged(
        "kubernetes", bundle, out, allow_unauthenticated=True, name="null", image="", sizes=Sizes()
    )
    deployment = document(out / "base" / "deployment.yaml")
    pod = deployment["spec"]["template"]["spec"]
    assert "--allow-unauthenticated" in pod["containers"][0]["args"]
    assert [each["name"] for each in pod["volumes"]] == ["tmp"]
    told = {finding.code: finding for finding in record.findings}
    assert (told["K011"].outcome, told["K012"].outcome) == ("tip", "tip")
    assert "afterfit loadtest" in told["K012"].fix
    assert "Nothing of this was measured." in (out / "README.md").read_text("utf-8")
    assert record.resolved["sizes"]["measured"] is False
    # YAML would read the name as no value at all; it stays a name everywhere.
    for name in KINDS:
        found = document(out / "base" / name)
        kubernetes_validate.validate(found, VERSIONS[-1], strict=True)
        assert found["metadata"]["name"] == "null"


def test_what_is_no_name_of_an_image_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    """It would end up in files and commands; nothing is left behind."""
    with pytest.raises(UsageError, match="not the name of an image") as found:
        packaged("kubernetes", bundle, tmp_path / "out", image='x" \nkind: Evil')
    assert found.value.where == "--image"
    assert list(tmp_path.iterdir()) == []


def test_the_readme_names_what_is_there(folder: Path) -> None:
    """Folders, the secret and the row to try it with; no placeholder of a template is left."""
    text = (folder / "README.md").read_text("utf-8")
    assert "{{" not in text
    assert "kubectl apply -k overlays/baked" in text
    assert "create secret generic churn-keys --from-file=keys.json" in text
    assert '\'{"rows": [{"age": ' in text
    for name in ("base", "overlays/baked", "overlays/following", "following"):
        assert (folder / name).is_dir()
    assert yaml.safe_load((folder / "base" / "service.yaml").read_text())["spec"]["ports"]
