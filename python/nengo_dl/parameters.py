"""The methods of a simulator that save, load and hand out parameters."""


class ParameterMethods:
    """Saving, loading, freezing and checking of parameters."""
