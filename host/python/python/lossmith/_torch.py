"""Imports torch before the extension, and says so if it is another version than the extension was built for."""

import warnings
from importlib.metadata import PackageNotFoundError, version

#: The version of libtorch that the extension was built for.
WANTED = "2.13"

try:
    VERSION = version("lossmith")
except PackageNotFoundError:  # a folder on the path, not a package that was installed
    VERSION = "unknown"

try:
    with warnings.catch_warnings():
        # Where NumPy is missing torch says so when it is imported: before each word of the command. Who asks torch for
        # an array is told then.
        warnings.filterwarnings("ignore", message="Failed to initialize NumPy")
        import torch
except ImportError as error:
    raise ImportError(f"lossmith needs torch {WANTED}: pip install 'torch=={WANTED}.*'") from error

if ".".join(torch.__version__.split(".")[:2]) != WANTED:
    raise ImportError(
        f"this lossmith was built for torch {WANTED}, and torch {torch.__version__} is installed, whose C++ library is "
        f"another one: pip install 'torch=={WANTED}.*', or install a lossmith that was built for it"
    )
