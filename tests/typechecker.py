"""The checker of shapes and types at run time: as the type checker, it takes an int where a float will do."""

from beartype import BeartypeConf, beartype

check = beartype(conf=BeartypeConf(is_pep484_tower=True))
