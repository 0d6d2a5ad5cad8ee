"""Fixtures of the fault tests: mounts that go away again, and skips that say what this machine lacks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .filesystems import Mounts, Unavailable
from .strace_sweep import need_strace


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test that needs what this machine does not have is skipped, with the reason."""
    try:
        return (yield)
    except Unavailable as lack:
        pytest.skip(str(lack))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """The same, where a fixture found out."""
    try:
        return (yield)
    except Unavailable as lack:
        pytest.skip(str(lack))


@pytest.fixture
def mounts(tmp_path: Path) -> Iterator[Mounts]:
    """Real file systems for one test; gone after it, whatever became of the test."""
    with Mounts(tmp_path / "mounts") as made:
        yield made


@pytest.fixture(scope="session")
def strace() -> None:
    """Skips the test where nothing can be injected."""
    need_strace()
