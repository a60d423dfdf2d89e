"""Numbered steps from one version of the control plane's tables to the next, run by `headrace.storage.control.migrate`."""
