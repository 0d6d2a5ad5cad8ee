"""The built-in backends of hubfold, loaded through an entry point like anybody's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold import hookimpl

if TYPE_CHECKING:
    from hubfold.backend.contract import StorageBackend


@hookimpl
def hubfold_storage_backends() -> list[type[StorageBackend]]:
    """One for each layout of the Hub's own clients, and for each store of another program."""
    # Imported here: finding the plugins must stay cheap for commands that need no backend.
    from hubfold_plugins.comfyui.models import ComfyUiBackend
    from hubfold_plugins.docker_model.store import DockerModelBackend
    from hubfold_plugins.dvc.store import DvcBackend
    from hubfold_plugins.git_lfs.store import GitLfsBackend
    from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
    from hubfold_plugins.huggingface.local_dir import LocalDirBackend
    from hubfold_plugins.llamacpp.cache import LlamaCppBackend
    from hubfold_plugins.lmstudio.models import LmStudioBackend
    from hubfold_plugins.modelscope.cache import ModelScopeBackend
    from hubfold_plugins.ollama.store import OllamaBackend
    from hubfold_plugins.ramalama.store import RamaLamaBackend
    from hubfold_plugins.symlink_farm import SymlinkFarmBackend
    from hubfold_plugins.textgen.models import TextGenerationBackend
    from hubfold_plugins.webui.store import WebUiBackend

    return [
        HubCacheBackend,
        # A clone that a client downloaded into as well is git's.
        GitLfsBackend,
        DvcBackend,
        LocalDirBackend,
        ComfyUiBackend,
        DockerModelBackend,
        LlamaCppBackend,
        LmStudioBackend,
        ModelScopeBackend,
        OllamaBackend,
        RamaLamaBackend,
        SymlinkFarmBackend,
        TextGenerationBackend,
        WebUiBackend,
    ]
