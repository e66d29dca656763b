"""The OpenAPI 3.1 document of a running server, made from the signatures that it serves."""

from afterfit.runtime.openapi.build import Described, document, path_of

__all__ = ["Described", "document", "path_of"]
