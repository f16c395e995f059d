"""The contenders: physical limits, vendor SDKs and other frameworks, each a script of its own with one command line."""
