from parley.client import Job as Job
from parley.client import Parley as Parley

__version__: str
