"""The page on which a person tries the models of a server: no network but the server itself."""

from afterfit.runtime.page.build import page

__all__ = ["page"]
