"""Super-classes of well-known class names: groups of CIFAR-10's, the coarse labels of CIFAR-100."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

CIFAR10: Mapping[str, tuple[str, ...]] = {
    "animal": ("bird", "cat", "deer", "dog", "frog", "horse"),
    "mammal": ("cat", "deer", "dog", "horse"),
    "hoofed animal": ("deer", "horse"),
    "pet": ("cat", "dog"),
    "vehicle": ("airplane", "automobile", "ship", "truck"),
    "road vehicle": ("automobile", "truck"),
    "flying thing": ("airplane", "bird"),
}

CIFAR100: Mapping[str, tuple[str, ...]] = {
    "aquatic mammals": ("beaver", "dolphin", "otter", "seal", "whale"),
    "fish": ("aquarium_fish", "flatfish", "ray", "shark", "trout"),
    "flowers": ("orchid", "poppy", "rose", "sunflower", "tulip"),
    "food containers": ("bottle", "bowl", "can", "cup", "plate"),
    "fruit and vegetables": ("apple", "mushroom", "orange", "pear", "sweet_pepper"),
    "household electrical devices": ("clock", "keyboard", "lamp", "telephone", "television"),
    "household furniture": ("bed", "chair", "couch", "table", "wardrobe"),
    "insects": ("bee", "beetle", "butterfly", "caterpillar", "cockroach"),
    "large carnivores": ("bear", "leopard", "lion", "tiger", "wolf"),
    "large man-made outdoor things": ("bridge", "castle", "house", "road", "skyscraper"),
    "large natural outdoor scenes": ("cloud", "forest", "mountain", "plain", "sea"),
    "large omnivores and herbivores": ("camel", "cattle", "chimpanzee", "elephant", "kangaroo"),
    "medium-sized mammals": ("fox", "porcupine", "possum", "raccoon", "skunk"),
    "non-insect invertebrates": ("crab", "lobster", "snail", "spider", "worm"),
    "people": ("baby", "boy", "girl", "man", "woman"),
    "reptiles": ("crocodile", "dinosaur", "lizard", "snake", "turtle"),
    "small mammals": ("hamster", "mouse", "rabbit", "shrew", "squirrel"),
    "trees": ("maple_tree", "oak_tree", "palm_tree", "pine_tree", "willow_tree"),
    "vehicles 1": ("bicycle", "bus", "motorcycle", "pickup_truck", "train"),
    "vehicles 2": ("lawn_mower", "rocket", "streetcar", "tank", "tractor"),
}


def known(classes: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The table that has every one of ``classes``, without groups of fewer than two; or nothing.

    Classes may be some of the table's (others held out). Case, blanks and hyphens don't matter.

    >>> known(["cat", "Dog", "truck"])["pet"]
    ('cat', 'Dog')
    >>> known(["cat", "tench"])
    {}
    """
    for table in (CIFAR10, CIFAR100):
        named = {_plain(name) for group in table.values() for name in group}
        if classes and all(_plain(name) in named for name in classes):
            groups = {
                group: tuple(name for name in classes if _plain(name) in map(_plain, members))
                for group, members in table.items()
            }
            return {k: names for k, names in groups.items() if 2 <= len(names) < len(classes)}
    return {}


def _plain(name: str) -> str:
    return name.lower().replace(" ", "_").replace("-", "_")
