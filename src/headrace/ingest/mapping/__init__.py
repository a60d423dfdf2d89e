"""Data prep: mapping sets that make XDM records from documents of any shape."""

from headrace.ingest.mapping.errors import MappingInvalid, MappingSetUnknown, TransformFailed
from headrace.ingest.mapping.mapper import FieldMapping, Mapper
from headrace.ingest.mapping.sets import MappingSets, field_mappings

__all__ = ["FieldMapping", "Mapper", "MappingInvalid", "MappingSetUnknown", "MappingSets", "TransformFailed", "field_mappings"]
