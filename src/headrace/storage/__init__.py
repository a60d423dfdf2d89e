"""The four protocols behind which existing engines keep everything: log, state, lake, control."""
