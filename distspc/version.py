"""The version, here alone: packaging, documentation, stores and reports read it."""

VERSION = "0.2.0"
