"""Hugging Face datasets: saved to a folder, loaded, or by their name on a hub."""

from expunge.data.hf_dataset import SAVED, SAVED_DICT, HfDatasetStore, load_hub
from expunge.data.opening import Opener

hf_dataset = Opener(
    HfDatasetStore,
    folder=lambda folder: any((folder / name).is_file() for name in (SAVED, SAVED_DICT)),
    thing=lambda thing: hasattr(thing, "column_names") and hasattr(thing, "save_to_disk"),
    hub=load_hub,
    options=("split",),
)
