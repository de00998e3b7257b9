"""Tests of the engines; a package, so that worker processes can import the toy stages."""
