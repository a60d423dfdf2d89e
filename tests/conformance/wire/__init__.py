"""Does the wire API answer as the published OpenAPI files say? One real call for each operation in scope."""
