"""The registries of the standard: UIDs, service classes, status codes. Data without behaviour."""

from . import service_classes, status, uids

__all__ = ["service_classes", "status", "uids"]
