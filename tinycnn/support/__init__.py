"""Support: argument checks, constructor arguments, files, notices and random numbers."""
