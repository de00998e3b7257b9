"""A tiny set in the Broden format, written here by the rules of its README."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scratchcard.contracts import Task, UserError
from scratchcard.data import Images, Splits, fingerprint
from scratchcard.data.concepts import Concepts
from scratchcard.data.concepts.broden import Broden

NOTHING = Images(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), torch.zeros(1).long())
SOURCE = Splits(NOTHING, NOTHING, None, None, ("a", "b"))
TASK = Task(3, 8, 8, 2)

LABELS = """number,name,category,frequency,coverage,syns
1,red-c,color(3),3,0.5,
2,street-s,scene(2),2,,
3,striped,texture(1),1,,stripy
4,glass,material(1);object(2),3,0.1,"pane, window"
300,tree,object(2),2,0.2,
301,leaf,part(1),1,0.1,
302,branch,part(1),1,0.1,
600,dotted,texture,1,,
"""

INDEX = """image,split,ih,iw,sh,sw,color,object,part,material,scene,texture
a/0.png,train,8,8,4,4,a/0_color.png,a/0_object.png,a/0_part_1.png;a/0_part_2.png,,2,
a/1.png,train,8,8,4,4,a/1_color.png,a/1_object.png,,a/1_material.png,2,3;600
a/2.png,val,8,8,4,4,a/2_color.png,,,,,
"""


def map_of(*rows: str) -> np.ndarray:
    """Four by four pixels: . none, r 1, g 4, T 300, L 301, B 302."""
    number = {".": 0, "r": 1, "g": 4, "T": 300, "L": 301, "B": 302}
    return np.array([[number[c] for c in row] for row in rows])


MAPS = {
    "0_color": map_of("rr..", "rr..", "....", "...."),
    "1_color": map_of("....", "....", "..rr", "..rr"),
    "2_color": map_of("rrrr", "....", "....", "...."),
    "0_object": map_of("TT..", "TT.g", "....", "...."),
    "1_object": map_of("....", ".T..", "....", "...g"),
    "0_part_1": map_of("L...", "L...", "....", "...."),
    "0_part_2": map_of("BB..", "....", "....", "...."),
    "1_material": map_of("....", "....", "....", "g..."),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images/a").mkdir(parents=True)
    (tmp_path / "index.csv").write_text(INDEX)
    (tmp_path / "label.csv").write_text(LABELS)
    for k in range(3):
        Image.new("RGB", (8, 8), (k, 50, 100)).save(tmp_path / f"images/a/{k}.png")
    for name, numbers in MAPS.items():
        blue = np.full_like(numbers, 77)  # of no meaning
        rgb = np.stack([numbers % 256, numbers // 256, blue], axis=-1).astype(np.uint8)
        Image.fromarray(rgb).save(tmp_path / f"images/a/{name}.png")
    return tmp_path


def masks(concepts: Concepts) -> dict[str, np.ndarray]:
    return {name: concepts.mask(k) for k, name in enumerate(concepts.names)}


def test_every_label_is_where_it_was_put(folder: Path) -> None:
    concepts = Broden(folder=folder, min_images=1).concepts(TASK, SOURCE)
    none = np.zeros((4, 4), dtype=bool)
    expected = {
        "red-c": [MAPS["0_color"] == 1, MAPS["1_color"] == 1, MAPS["2_color"] == 1],
        "street-s": [~none, ~none, none],
        "striped": [none, ~none, none],
        "glass": [
            MAPS["0_object"] == 4,
            (MAPS["1_object"] == 4) | (MAPS["1_material"] == 4),
            none,
        ],
        "tree": [MAPS["0_object"] == 300, MAPS["1_object"] == 300, none],
        "leaf": [MAPS["0_part_1"] == 301, none, none],
        "branch": [MAPS["0_part_2"] == 302, none, none],
        "dotted": [none, ~none, none],
    }
    found = masks(concepts)
    assert list(found) == list(expected)
    for name, mask in expected.items():
        assert (found[name] == np.stack(mask)).all(), name
    assert concepts.categories == (
        "colour", "scene", "texture", "object", "object", "part", "part", "texture"
    )  # fmt: skip
    assert concepts.size == (4, 4)
    assert concepts.images.pixels[:, 0, 0, 0].tolist() == [0, 1, 2]


def test_red_alone_would_be_wrong(folder: Path) -> None:
    """300 is 44 + 256: a reader that leaves out green finds label 44, which is nobody's."""
    with Image.open(folder / "images/a/0_object.png") as image:
        assert 44 in np.asarray(image)[..., 0]
    assert "tree" in Broden(folder=folder, min_images=1).concepts(TASK, SOURCE).names


def test_rare_labels_splits_and_categories(folder: Path) -> None:
    def names(**options: Any) -> tuple[str, ...]:
        return Broden(folder=folder, **options).concepts(TASK, SOURCE).names

    assert names(min_images=2) == ("red-c", "street-s", "glass", "tree")
    assert names(min_images=3) == ("red-c",)
    assert names(min_images=1, categories=("part", "material")) == ("glass", "leaf", "branch")
    assert names(min_images=1, split="val") == ("red-c",)
    with pytest.raises(UserError, match="no label is present in 5 of 3 images"):
        names()


def test_a_label_is_of_a_category_that_is_read(folder: Path) -> None:
    kind = Broden(folder=folder, min_images=1, categories=("material",))
    assert kind.concepts(TASK, SOURCE).categories == ("material",)


def test_a_limit_draws_images(folder: Path) -> None:
    concepts = Broden(folder=folder, min_images=1, limit=2).concepts(TASK, SOURCE)
    drawn = concepts.images.pixels[:, 0, 0, 0].tolist()
    assert len(drawn) == 2
    assert drawn == sorted(set(drawn))
    red = [MAPS[f"{k}_color"] == 1 for k in drawn]
    assert (masks(concepts)["red-c"] == np.stack(red)).all()


def test_other_sizes(folder: Path) -> None:
    kind = Broden(folder=folder, min_images=1, mask_size=(8, 8))
    concepts = kind.concepts(Task(1, 16, 16, 2), SOURCE)
    assert concepts.images.task_shape == (1, 16, 16)
    larger = np.kron(MAPS["0_object"] == 300, np.ones((2, 2), dtype=bool))
    assert (masks(concepts)["tree"][0] == larger).all()


def test_the_fingerprint_covers_the_tables_and_what_is_used(folder: Path) -> None:
    kind = Broden(folder=folder, split="train", categories=("object", "texture"))
    assert list(kind.files()) == [
        *("index.csv", "label.csv", "images/a/0.png", "images/a/0_object.png"),
        *("images/a/1.png", "images/a/1_object.png"),
    ]
    before = fingerprint(kind.files())
    other, label = folder / "images/a/1_material.png", folder / "images/a/1_object.png"
    other.write_bytes(label.read_bytes())
    assert fingerprint(kind.files()) == before
    label.write_bytes((folder / "images/a/0_object.png").read_bytes())
    assert fingerprint(kind.files()) != before


def replaced(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_mistakes(folder: Path) -> None:
    def concepts(**options: Any) -> Concepts:
        return Broden(folder=folder, min_images=1, **options).concepts(TASK, SOURCE)

    with pytest.raises(UserError, match=r'categories has "colour", but those of .* are color, obj'):
        concepts(categories=("colour",))
    with pytest.raises(UserError, match='no image of split = "test"'):
        concepts(split="test")
    with pytest.raises(UserError, match=r"mask_size = \[4\]"):
        concepts(mask_size=(4,))
    with pytest.raises(UserError, match="limit = -1"):
        concepts(limit=-1)
    replaced(folder / "label.csv", "300,tree", "299,tree")
    with pytest.raises(UserError, match=r"label\.csv has no label 300"):
        concepts()
    Image.new("L", (4, 4)).save(folder / "images/a/0_color.png")
    with pytest.raises(UserError, match=r"0_color\.png is of mode L, but must be RGB"):
        concepts()
    (folder / "images/a/0_color.png").unlink()
    with pytest.raises(UserError, match=r"0_color\.png does not exist, but index\.csv names it"):
        concepts()
    replaced(folder / "index.csv", "sh,sw", "h,w")
    with pytest.raises(UserError, match=r'index\.csv has no column "sh"'):
        concepts()
    replaced(folder / "label.csv", "number,", "id,")
    with pytest.raises(UserError, match=r'label\.csv has no column "number"'):
        concepts()
    (folder / "label.csv").unlink()
    with pytest.raises(UserError, match=r"label\.csv does not exist; folder must be the one with"):
        concepts()
    with pytest.raises(UserError, match=r'folder = ".*none" does not exist'):
        Broden(folder=folder / "none").files()
