"""Where the local EC2 meets moto: subclasses of its classes, nothing patched.

Relies on moto >= 5.2.4, < 6: ``EC2Response`` with parsed parameters (``_get_param``),
``EC2Backend`` and its collections, and that a backend can be pickled. Everything that knows a
moto name is in this package, in ``server.py`` (the WSGI side) and in ``seeding.py``.
"""
