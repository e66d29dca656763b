"""Price lists that providers and tools publish, and one's own sheets: a format per file."""

from afterfit.platforms.importers.base import Discount, Imported, Importer, Priced, PriceFile
from afterfit.platforms.importers.opening import formats, import_file

__all__ = ["Discount", "Imported", "Importer", "PriceFile", "Priced", "formats", "import_file"]
