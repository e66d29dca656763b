"""The bodies that a server takes and gives beside the Open Inference Protocol.

Each module has ``decode(body, decoder) -> Rows`` and ``encode(answer) -> Response``; those of JSON
have ``rows_of(document, decoder) -> Rows`` too. ``negotiate`` chooses among them by the headers.
"""
