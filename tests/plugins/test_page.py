"""`plugins/README.md`: what it shows is a plugin, and keeps the contract."""

from __future__ import annotations

import inspect
import re

from hubfold import backend, testing
from hubfold.backend import StorageBackend
from tests import CHECKOUT

PAGE = (CHECKOUT / "plugins/README.md").read_text("utf-8")

# The class, and below it its tests: pytest finds these here, as it would in a file of the author's.
for _block in re.findall(r"```python\n(.*?)```", PAGE, re.S):
    exec(_block, globals())


def test_the_page_shows_a_class_and_its_tests() -> None:
    assert issubclass(globals()["MyStoreBackend"], StorageBackend)
    assert issubclass(globals()["TestMyStore"], testing.BackendContract)


def test_every_method_that_an_author_may_write_is_on_it_or_in_the_help() -> None:
    """On the page, or with a docstring of its own that `help` shows."""
    methods = {
        name
        for name, one in vars(StorageBackend).items()
        if inspect.isroutine(one) or isinstance(one, classmethod)
    }
    unsaid = {name for name in methods if not name.startswith("_") and f"`{name}" not in PAGE}
    assert all(inspect.getdoc(getattr(StorageBackend, name)) for name in unsaid)


def test_every_field_of_what_an_author_is_handed_or_answers_is_told_by_help() -> None:
    """Its meaning, its unit, its rule: in the docstring of its class, since `help` shows no comments."""
    untold = {
        (name, field)
        for name in backend.__all__
        if hasattr(cls := getattr(backend, name), "__dataclass_fields__")
        for field in cls.__dataclass_fields__
        if not re.search(rf"^\s*{field}: \S", inspect.getdoc(cls) or "", re.M)
    }
    assert not untold


def test_every_type_of_the_contract_is_exported() -> None:
    """Each name that an annotation of it mentions, but for those of Python."""
    mentioned = {
        word
        for one in vars(StorageBackend).values()
        for annotation in getattr(getattr(one, "__func__", one), "__annotations__", {}).values()
        for word in re.findall(r"[A-Z]\w+", str(annotation))
    }
    # And of the fields of what it answers.
    for name in backend.__all__:
        for field in getattr(getattr(backend, name), "__dataclass_fields__", {}).values():
            mentioned |= set(re.findall(r"[A-Z]\w+", str(field.type)))
    python = {"Collection", "Iterable", "Iterator", "Mapping", "None", "Sequence", "ClassVar"}
    assert mentioned - python <= {*backend.__all__}
