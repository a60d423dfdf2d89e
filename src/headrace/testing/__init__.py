"""For tests of Headrace and of its plugins: faults as settings, real local servers, suites that a contract must pass."""
