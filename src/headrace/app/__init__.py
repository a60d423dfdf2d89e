"""The composition root: settings in, running product out. The only importer of concrete engines.

`home` opens what a home folder holds, `serve` starts the roles, and each role has a module of its own here that puts it together;
so a process loads the libraries that its role works with, and no others.
"""
