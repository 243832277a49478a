"""A model from its folder: open_clip's form or transformers', told apart by the config file that lies there."""

from __future__ import annotations

from pathlib import Path

from safeclip.errors import InputError
from safeclip.model.build import LOCAL, Clip, build_folder
from safeclip.model.from_transformers import load_transformers


def is_model_folder(path: str | Path) -> bool:
    """Whether `path` names a model's folder, and no run's."""
    folder = _folder(path)
    there = [(folder / name).is_file() for name in ("open_clip_config.json", "config.json")]
    return str(path).startswith(LOCAL) or (any(there) and not (folder / "config.yaml").is_file())


def load_folder(path: str | Path) -> Clip:
    """path: a folder, also as open_clip writes it, local-dir:FOLDER. Raises InputError."""
    folder = _folder(path)
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a run, or a folder with a model of open_clip or transformers")
    if (folder / "open_clip_config.json").is_file():
        return build_folder(folder)
    if (folder / "config.json").is_file():
        return load_transformers(folder)
    raise InputError(f"{folder}: no model here (looked for open_clip_config.json and config.json)")


def _folder(path: str | Path) -> Path:
    return Path(str(path).removeprefix(LOCAL)).expanduser()
