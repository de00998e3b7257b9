"""The store keeps what it was given, whole, and says so when it cannot."""

from __future__ import annotations

import json
import os
import pickle
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchcard.provenance import provenance
from scratchcard.store import SMALL, Damaged, Store

DIGEST = "ab" * 16
OTHER = "ac" * 16


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store")
    commit(store)
    return store


def commit(store: Store, digest: str = DIGEST, value: float = 0.5) -> None:
    store.commit(
        digest,
        result={"value": value, "parts": {"β": [1, 2]}},
        provenance={"seconds": 1.0},
        arrays={"weights": {"fc.weight": np.arange(6.0).reshape(2, 3)}},
    )


def files(store: Store, digest: str = DIGEST) -> list[Path]:
    return sorted((store.root / digest[:2] / digest).iterdir())


def leftovers(store: Store) -> list[Path]:
    return [*store.root.glob("tmp/*"), *store.root.glob("work/*")]


def test_what_was_committed_comes_back(store: Store) -> None:
    assert store.has(DIGEST)
    assert not store.has(OTHER)
    assert store.result(DIGEST) == {"value": 0.5, "parts": {"β": [1, 2]}}
    assert store.provenance(DIGEST) == {"seconds": 1.0}
    assert store.arrays(DIGEST, "weights")["fc.weight"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert leftovers(store) == []


@settings(max_examples=40, deadline=None)
@given(
    st.dictionaries(
        st.text(min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.sampled_from([np.bool_, np.uint8, np.float32, np.int64, np.float64]).flatmap(
            lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=0, min_side=0, max_dims=4))
        ),
        max_size=4,
    )
)
def test_arrays_come_back_bit_by_bit(arrays: dict[str, np.ndarray]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        turned = {f"{name}.T": array.T for name, array in arrays.items()}  # not contiguous
        store.commit(DIGEST, result={}, provenance={}, arrays={"a": arrays | turned})
        back = store.arrays(DIGEST, "a")
    assert back.keys() == arrays.keys() | turned.keys()
    for name, array in (arrays | turned).items():
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)
        assert back[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_that_json_lacks_are_refused(store: Store, value: float) -> None:
    with pytest.raises(ValueError, match="JSON"):
        store.commit(OTHER, result={"value": value}, provenance={})
    assert not store.has(OTHER)
    assert leftovers(store) == []


def test_no_flipped_byte_goes_unseen(store: Store) -> None:
    for path in files(store):
        whole = path.read_bytes()
        for at in range(len(whole)):
            for flip in (0x01, 0x20, 0x80):
                broken = bytearray(whole)
                broken[at] ^= flip
                path.write_bytes(broken)
                assert not store.has(DIGEST), (path.name, at, flip)
                with pytest.raises(Damaged):
                    everything(store)
        path.write_bytes(whole)
    assert store.has(DIGEST)


@pytest.mark.parametrize("name", ["manifest.json", "provenance.json", "result.json", "weights"])
@pytest.mark.parametrize("how", ["truncated", "empty", "missing"])
def test_no_lost_bytes_go_unseen(store: Store, name: str, how: str) -> None:
    path = next(path for path in files(store) if path.name.startswith(name))
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[: -1 if how == "truncated" else 0])
    assert not store.has(DIGEST)
    with pytest.raises(Damaged, match=DIGEST):
        everything(store)
    commit(store)
    assert store.has(DIGEST)
    assert leftovers(store) == []


def everything(store: Store) -> None:
    """Read all that a reader can read of the stage."""
    store.result(DIGEST)
    store.provenance(DIGEST)
    store.arrays(DIGEST, "weights")


def test_a_flipped_byte_in_a_big_file_is_seen_when_it_is_read(store: Store) -> None:
    many = {"many": np.zeros(SMALL, np.uint8)}
    store.commit(OTHER, result={}, provenance={}, arrays={"big": many})
    path = next(path for path in files(store, OTHER) if path.name.startswith("big"))
    whole = bytearray(path.read_bytes())
    whole[-1] ^= 1
    path.write_bytes(whole)
    assert store.has(OTHER)
    with pytest.raises(Damaged, match="changed"):
        store.arrays(OTHER, "big")
    path.write_bytes(whole[:-1])
    assert not store.has(OTHER)


def test_rows_come_back_in_their_order(store: Store) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)
    store.commit(OTHER, result={}, provenance={}, arrays={"test": {"pixels": array}})
    for index in ([3, 0], [2], [1, 1, 2]):
        found = store.rows(OTHER, "test", "pixels", index)
        assert found.dtype == np.uint8
        assert found.tolist() == array[index].tolist()
    with pytest.raises(AssertionError, match="masks"):
        store.rows(OTHER, "masks", "pixels", [0])


@pytest.mark.parametrize("how", ["truncated", "missing", "header"])
def test_rows_of_a_damaged_file_are_refused(store: Store, how: str) -> None:
    path = next(path for path in files(store) if path.name.startswith("weights"))
    whole = path.read_bytes()
    if how == "missing":
        path.unlink()
    else:
        path.write_bytes(whole[:-1] if how == "truncated" else b"\xff" * 9 + whole[9:])
    with pytest.raises(Damaged, match=DIGEST):
        store.rows(DIGEST, "weights", "fc.weight", [0])


def test_asking_for_a_file_that_never_was_is_our_mistake(store: Store) -> None:
    with pytest.raises(AssertionError, match=r"weights\.safetensors"):
        store.arrays(DIGEST, "masks")


def test_the_first_of_two_commits_stays(store: Store) -> None:
    commit(store, value=0.7)
    assert store.result(DIGEST)["value"] == 0.5
    assert leftovers(store) == []


def test_many_processes_may_commit_the_same_stage(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from scratchcard.store import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(40):\n"
        "    store.commit(f'{n:032x}', result={'by': sys.argv[2]}, provenance={})\n"
        "    assert store.result(f'{n:032x}')['by'] in 'abc'\n"
    )
    racers = [subprocess.Popen([sys.executable, "-c", script, tmp_path, name]) for name in "abc"]
    assert [racer.wait(timeout=20) for racer in racers] == [0, 0, 0]
    store = Store(tmp_path)
    assert all(store.has(f"{n:032x}") for n in range(40))
    assert leftovers(store) == []


def test_the_checkpoint_lives_until_the_commit(store: Store) -> None:
    (store.scratch(OTHER) / "checkpoint").write_text("half")
    assert (store.scratch(OTHER) / "checkpoint").read_text() == "half"
    commit(store, OTHER)
    assert leftovers(store) == []


def test_discard(store: Store) -> None:
    store.discard(DIGEST)
    store.discard(DIGEST)
    assert not store.has(DIGEST)
    assert leftovers(store) == []


def test_sweep_spares_the_living_and_other_hosts(store: Store) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # dead, but not reaped yet
    host = socket.gethostname()
    mine, theirs, elsewhere = (
        store.root / "tmp" / f"{DIGEST}.{where}.{pid}.0123"
        for where, pid in ((host, os.getpid()), (host, dead.pid), ("node-7.lan", dead.pid))
    )
    for path in (mine, theirs, elsewhere):
        path.mkdir(parents=True)
        (path / "result.json").write_text("{}")
    store.scratch(DIGEST)
    unfinished = store.scratch(OTHER)
    store.sweep()
    assert sorted(leftovers(store)) == sorted([mine, elsewhere, unfinished])
    dead.wait()


def test_prefixes(store: Store) -> None:
    commit(store, OTHER)
    store.scratch("ad" * 16)
    assert store.find_prefix("") == store.find_prefix("a") == [DIGEST, OTHER]
    assert store.find_prefix("aba") == [DIGEST]
    assert store.find_prefix("*") == store.find_prefix("b") == []


def test_damage_travels_between_processes() -> None:
    damage = pickle.loads(pickle.dumps(Damaged(DIGEST, "gone")))
    assert (damage.digest, damage.why) == (DIGEST, "gone")


def test_provenance_is_json_and_does_not_import_torch() -> None:
    script = (
        "import json, sys; from scratchcard.provenance import provenance\n"
        "import scratchcard.store; assert 'torch' not in sys.modules\n"
        "print(json.dumps(provenance(90.0, device='cpu'), allow_nan=False))"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    found = json.loads(run.stdout)
    assert (found["seconds"], found["device"], found["numpy"]) == (90.0, "cpu", np.__version__)
    here = provenance(0.0)
    same = ("python", "torch", "host", "cpu", "commit", "scratchcard", "platform")
    assert {key: found[key] for key in same} == {key: here[key] for key in same}
    assert here["started"] == here["finished"] > found["started"]
