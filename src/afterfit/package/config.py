"""What may be asked of ``package``."""

from __future__ import annotations

from typing import Literal

import msgspec

from afterfit.core.proof import Proven
from afterfit.package.sizes import Sizes

DEFAULT_BASE = "python:3.11-slim-bookworm"
DEFAULT_PYTHON = "3.11"
DEFAULT_PORT = 8080
USER_ID = 10001


class IndexConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Where pip finds packages; what is empty is left to pip's own settings.

    ``wheelhouse`` is a folder of wheels, used alone: no index is asked then. Credentials in a URL
    reach pip by its environment, and never a file that is written.
    """

    index_url: str = ""
    extra_index_url: tuple[str, ...] = ()
    wheelhouse: str = ""
    proxy: str = ""

    def __repr__(self) -> str:
        """Return what was given, without addresses: they may hold credentials."""
        given = [name for name in self.__struct_fields__ if getattr(self, name)]
        return f"IndexConfig({', '.join(f'{name}=…' for name in given)})"

    @property
    def given(self) -> bool:
        """Whether anything was asked."""
        return self != IndexConfig()


class PackageConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is made.

    ``base`` is an image with Python ``python`` (``X.Y``), best ``NAME@sha256:…``. ``platforms``
    are ``linux/amd64`` and ``linux/arm64``: the machines that the locked wheels must fit. With
    ``vendor`` the wheels go into the folder, and building the image needs no index. ``name`` is
    what the server calls the model, ``number`` its version for people (0: none). The server
    refuses to listen to other machines without keys unless ``allow_unauthenticated``. ``proven``
    is what the variant was proven on: it goes into the image, beside the bundle. ``git_commit`` is
    that of the code which the model was shipped from. With the ``builder`` ``native`` the image is
    made here. ``image`` is what it is called in a registry, without a tag. With the ``accelerator``
    ``cuda`` the image has ONNX Runtime for GPUs of NVIDIA. ``card`` is the model card, in Markdown:
    it is evidence, so it lies beside an image and changes no digest. ``sizes`` are those of a
    replica and of the fleet, from the version's load test where there is one.
    """

    name: str = "model"
    number: int = 0
    base: str = DEFAULT_BASE
    python: str = DEFAULT_PYTHON
    platforms: tuple[str, ...] = ("linux/amd64",)
    port: int = DEFAULT_PORT
    vendor: bool = False
    allow_unauthenticated: bool = False
    index: IndexConfig = IndexConfig()
    proven: Proven | None = None
    builder: Literal["docker", "native"] = "docker"
    image: str = ""
    git_commit: str = ""
    accelerator: Literal["cpu", "cuda"] = "cpu"
    card: str = ""
    sizes: Sizes = Sizes()
