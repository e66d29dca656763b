"""What packaging looks at."""

from __future__ import annotations

from typing import ClassVar

from afterfit.core.finding import Check, Severity


class BaseNotPinned(Check):
    """The base image is named by a tag.

    What it looks for: A base image without ``@sha256:…``.
    Why it matters: A tag moves: the same Dockerfile builds another image next month, with another
    Python and other system libraries than those that were tested.
    Example: ``python:3.11-slim-bookworm`` was rebuilt upstream several times a month.
    Fix: Name the digest: ``afterfit package churn@champion --for dockerfile --base
    python:3.11-slim-bookworm@sha256:…``. Your builder prints it when it pulls the tag.
    """

    code = "K001"
    title = "The base image is pinned by its digest"
    severity: ClassVar[Severity] = "medium"


class DependenciesHashed(Check):
    """Every distribution of the serving environment is locked with the hashes of its files.

    What it looks for: A ``requirements.lock`` in which each line has a version and at least one
    SHA-256.
    Why it matters: pip then refuses any other bytes, whoever serves them: an index that was broken
    into, a proxy, or an upload under the same name and version.
    Example: ``numpy==2.4.6 --hash=sha256:…``
    Fix: Nothing to do when it passed. Where hashes cannot be found, give the index or the folder
    that has the wheels: ``--index-url URL`` or ``--wheelhouse FOLDER``.
    """

    code = "K002"
    title = "The serving environment is locked with hashes"
    severity: ClassVar[Severity] = "high"


class CodeLeftOut(Check):
    """Files beside the user's code that do not belong into a bundle.

    What it looks for: Caches (``__pycache__``), hidden files and folders (``.git``, ``.env``),
    environments, build outputs, compiled Python files, notebooks, tables and databases, and names
    that usually hold secrets (``*.pem``, ``*.key``, ``id_rsa``).
    Why it matters: A bundle is copied to every server and image that runs the model. A key in it is
    published, so are the rows of a table, and a cache makes its digest depend on the machine.
    Example: ``src/.env`` beside ``src/encoder.py``.
    Fix: Nothing to do: they are left out. Where the code reads such a file, hand it what it needs
    by the environment of the server.
    """

    code = "K003"
    title = "The code holds nothing that must not ship"
    severity: ClassVar[Severity] = "low"


class WheelsIncluded(Check):
    """The wheels are in the build folder, so that building the image asks no index.

    What it looks for: Whether ``--vendor`` was given, or the build will ask an index.
    Why it matters: A build that asks an index needs the network and its credentials, and fails when
    the index is away. What it installs is the same: the hashes see to it.
    Example: A build machine behind a firewall.
    Fix: ``afterfit package churn@champion --for dockerfile --vendor``
    """

    code = "K004"
    title = "The build needs no package index"
    severity: ClassVar[Severity] = "low"


class OpenToAll(Check):
    """The server in the image answers other machines without keys.

    What it looks for: Whether the image was told to serve beyond loopback to anybody who reaches
    it.
    Why it matters: Who can reach the port can use the model, find out how it decides, and keep it
    busy.
    Example: ``docker run --publish 8080:8080 churn`` on a machine with a public address.
    Fix: Leave ``--allow-unauthenticated`` out and the server refuses to start in the open. Pass it
    where something in front of the server checks who calls: a gateway, a service mesh.
    """

    code = "K005"
    title = "Nobody is served without being asked who they are"
    severity: ClassVar[Severity] = "medium"


class GoldenRows(Check):
    """The model answers the made-up rows that a bundle carries.

    What it looks for: Rows drawn from the fingerprint that the model refuses.
    Why it matters: With their expected answers they show, before a server or an image takes a
    request, that the model answers there as it did here. Without any, nothing shows it.
    Example: A step of the user's parses dates from text, and the rows say "alpha".
    Fix: Let the step answer text that it cannot read: ``pd.to_datetime(…, errors="coerce")``.
    """

    code = "K006"
    title = "The bundle can be checked wherever it is loaded"
    severity: ClassVar[Severity] = "low"


class RowsScored(Check):
    """Rows are compared with the reference as a whole, and not one column at a time alone.

    What it looks for: a score in the bundle of how unlike the reference a row is. Several ways to
    score are tried on rows that were made up of reference rows; the one that tells them apart best
    ships.
    Why it matters: a row whose values are usual alone and strange together is in every range, and
    the model answers it as surely as any other.
    Example: a customer of 19 years with 40 years of employment: both numbers are in range.
    Fix: where it was skipped, give more reference rows (``--train``), or allow more usual rows to
    be flagged (``[ood] rate = 0.02``), which takes fewer rows to measure.
    """

    code = "K007"
    title = "Rows unlike the reference as a whole are flagged"
    severity: ClassVar[Severity] = "low"


class UsualRowsFlagged(Check):
    """The flag ``ood`` comes as often on usual rows as was asked.

    What it looks for: the share of rows above the threshold, among reference rows that nothing was
    decided by and, where there is training data, among the evaluation rows.
    Why it matters: a flag that comes too often is not looked at. Where the evaluation rows are
    flagged more often than the reference, they are not like what the model learned from.
    Example: 1 % of usual rows was asked, and 6 % of the evaluation rows are flagged: they are of
    another year.
    Fix: look at what sets the evaluation rows apart; if they are what will be served, train on such
    rows too.
    """

    code = "K008"
    title = "Usual rows are flagged as rarely as was asked"
    severity: ClassVar[Severity] = "medium"


class OddRowsMissed(Check):
    """Every kind of made-up row scores higher than usual rows do.

    What it looks for: kinds of made-up rows (shuffled columns, mixed rows, moved and scaled
    numbers, a box around the reference) with an AUROC below 0.8.
    Why it matters: rows of that kind are served without a flag.
    Example: columns that have nothing to do with one another: shuffled, they are as usual as
    before.
    Fix: do not count on the flag for such rows; refuse what cannot be before you ask the model.
    """

    code = "K009"
    title = "Made-up rows do not look usual"
    severity: ClassVar[Severity] = "low"


class BytecodeMissing(Check):
    """An image made here has its modules compiled.

    What it looks for: Afterfit running on another version of Python than the image has.
    Why it matters: modules that are not compiled are compiled at each start, since the image is
    read-only, which makes a start about a second longer.
    Example: ``--builder native --python 3.12`` on Python 3.11.
    Fix: install Afterfit for the image's version of Python, or build the Dockerfile, which compiles
    inside of the image.
    """

    code = "K010"
    title = "The modules of the image are compiled"
    severity: ClassVar[Severity] = "low"


class ImageHasRegistry(Check):
    """The files of a place name the image as the registry has it.

    What it looks for: ``--image``, the name of the image in a registry.
    Why it matters: A cluster or a cloud pulls the image from a registry. A name without one is
    looked for on Docker Hub, where somebody else's image may have it.
    Example: ``churn:3`` in a Deployment.
    Fix: ``afterfit package churn@champion --for kubernetes --image registry.example.com/churn``
    """

    code = "K011"
    title = "The image is named with its registry"
    severity: ClassVar[Severity] = "low"


class SizesMeasured(Check):
    """CPU, memory and replicas are from a load test of the version.

    What it looks for: a load test that searched for the greatest rate within an objective and is
    not too old, and, for the number of replicas, a simulation of autoscalers.
    Why it matters: what is too small fails under load, what is too large is paid for.
    Example: a Deployment that asks for one processor, since nobody measured.
    Fix: ``afterfit loadtest churn@champion --slo "p99<50ms"``, then ``afterfit autoscale
    churn@champion --trace traffic.csv --cold-start 30``, and package again.
    """

    code = "K012"
    title = "A replica is sized by what was measured"
    severity: ClassVar[Severity] = "low"


class AcceleratorUntried(Check):
    """An image for a GPU was not tried on one.

    What it looks for: ``--accelerator cuda``. The bundle was measured on a CPU, and what makes the
    image needs no GPU.
    Why it matters: answers of a GPU differ in the last digits, and its speed is another. The server
    asks the golden rows when it starts, so a wrong answer is met there; where it can use no GPU,
    the CPU answers, and ``/version`` and the log say why.
    Example: a machine without NVIDIA's container runtime.
    Fix: start the image on the machine that it is for, look at ``accelerator`` in ``/version``, and
    run ``afterfit loadtest`` against it.
    """

    code = "K020"
    title = "The image was tried on what computes in it"
    severity: ClassVar[Severity] = "low"
