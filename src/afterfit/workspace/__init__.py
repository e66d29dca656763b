"""The workspace: it carries records between steps and has the verbs as methods."""

from afterfit.workspace.release import Release
from afterfit.workspace.space import Workspace

__all__ = ["Release", "Workspace"]
