"""Models by name: a state of a run of this workspace, a local folder, or a hub id."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from engine.hub import explain_hub
from engine.models.count import count_parameters
from engine.models.products import speed_up_linear
from engine.models.quantize import dequantize, quantized_loading
from engine.spec.run import AdaptJob, Quantization, RunSpec
from store.errors import DataError, OdysseyError
from store.files import read_json

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from engine.spec.run import Model
    from store.workspace import Workspace

ADAPTER_FOLDER = "adapter"
"""Within the folder of a state: the adapter in PEFT's own format."""
FACTS_FILE = "odyssey.json"
"""In the folder of every state this program saves: what ``ModelFacts`` holds."""


@dataclass(frozen=True)
class ModelFacts:
    """What is known of a model besides its weights."""

    model_id: str
    n_params: int
    n_params_non_embedding: int
    tokens_seen: int | None
    """Tokens of pretraining (and of adaptation, for an adapted state); None when the source does not say."""
    ptpp: float | None
    """Pretraining tokens per parameter: the budget asked for, which ``tokens_seen`` meets to one sequence."""
    tokenizer_id: str | None
    canary_loss: float | None = None
    """``engine.evaluate.canary.Canary.loss`` of the weights as they were saved; None for models from elsewhere."""

    def content(self) -> dict[str, Any]:
        """Plain JSON, as written beside the weights."""
        return asdict(self)


def load_model(
    model: Model,
    workspace: Workspace,
    device: str = "cpu",
    quantize: Quantization = "none",
) -> PreTrainedModel:
    """Load the weights of ``model`` onto ``device``, as float32 whatever their files hold, in evaluation mode.

    Reads safetensors only unless ``allow_pickle``; runs no code from the hub unless ``trust_remote_code``. A state
    saved as an adapter alone is merged into the base its run started from. ``quantize`` holds the linear layers in 4 or
    8 bits instead (``engine.models.quantize``). ``OdysseyError`` with one message for: no such state, folder,
    repository or revision; no access; offline; damaged.
    """
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    adapter = _adapter_alone(model, workspace)
    if adapter is not None:
        return _load_merged(model, adapter, workspace, device)
    location, revision = _locate(model, workspace)
    options = {} if quantize == "none" else quantized_loading(quantize, device)
    try:
        loaded = AutoModelForCausalLM.from_pretrained(
            location,
            revision=revision,
            use_safetensors=None if model.allow_pickle else True,
            trust_remote_code=model.trust_remote_code,
            local_files_only=isinstance(location, Path),
            dtype=torch.float32,
            **options,
        )
    except Exception as error:
        raise _explain(error, model, location) from error
    speed_up(loaded)
    # Quantised weights are on their device already, and refuse to move.
    return (loaded if options else loaded.to(device)).eval()


def speed_up(model: PreTrainedModel) -> None:
    """Have the same functions computed by faster kernels, in place: linear layers, and GPT-2's activation, which is
    eight elementwise kernels in Python, as one."""
    from transformers.activations import NewGELUActivation

    speed_up_linear(model)
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, NewGELUActivation):
                setattr(module, name, torch.nn.GELU(approximate="tanh"))


def _adapter_alone(model: Model, workspace: Workspace) -> Path | None:
    """The adapter of a state that was saved without merged weights; None for any other model."""
    if model.run is None:
        return None
    folder = workspace.run(model.run).checkpoint(model.state or "")
    alone = (folder / ADAPTER_FOLDER).is_dir() and not (folder / "config.json").exists()
    return folder / ADAPTER_FOLDER if alone else None


def _load_merged(model: Model, adapter: Path, workspace: Workspace, device: str) -> PreTrainedModel:
    from peft import PeftModel

    job = RunSpec.model_validate(workspace.run(model.run or "").spec()).job
    if not isinstance(job, AdaptJob):
        raise DataError(f"{adapter} belongs to no adaptation", f"Run {model.run} is of the kind {job.kind}.")
    base = load_model(job.base, workspace, device, job.method.quantize)
    if job.method.quantize != "none":
        base = dequantize(base)
    try:
        merged = PeftModel.from_pretrained(base, str(adapter)).merge_and_unload(safe_merge=True)
    except Exception as error:
        raise _explain(error, model, adapter) from error
    # Quantised layers come back in the precision they computed in.
    return merged.float().eval()


def read_facts(model: Model, workspace: Workspace, loaded: PreTrainedModel) -> ModelFacts:
    """The facts of a loaded model: from beside its weights for a state of a run, counted for any other."""
    if model.run is not None:
        path = workspace.run(model.run).checkpoint(model.state or "") / FACTS_FILE
        return ModelFacts(**read_json(path))
    counts = count_parameters(loaded)
    return ModelFacts(
        model_id=model.model_id,
        n_params=counts.total,
        n_params_non_embedding=counts.non_embedding,
        tokens_seen=model.tokens_seen,
        ptpp=None if model.tokens_seen is None else model.tokens_seen / counts.total,
        tokenizer_id=None,
    )


def _locate(model: Model, workspace: Workspace) -> tuple[Path | str, str]:
    if model.run is not None:
        folder = workspace.run(model.run).checkpoint(model.state or "")
        if not (folder / "config.json").exists():
            raise DataError(
                f"run {model.run} has no saved state {model.state!r} ({folder})",
                "Let the run finish first; an adaptation keeps its states with `keep: final` or `keep: all`. If it was "
                f"deleted: delete {workspace.run(model.run).path} too and launch its experiment again.",
            )
        return folder, "main"
    if model.source is None:
        raise OdysseyError("a model needs a source or a run", "Give `source: HUB_ID_OR_FOLDER`, or `run` and `state`.")
    folder = Path(model.source).expanduser()
    if folder.exists() or model.source.startswith((".", "/", "~")):
        if not (folder / "config.json").exists():
            if (folder / ADAPTER_FOLDER).is_dir() or (folder / "adapter_config.json").exists():
                raise DataError(
                    f"{model.source}: an adapter alone, without the model it belongs to",
                    "Name a state of a run as RUN@STATE; other adapters are to be merged and saved first.",
                )
            raise DataError(
                f"{model.source}: no model there (no {folder / 'config.json'})",
                "Give a folder written by save_pretrained, or a hub id.",
            )
        return folder, "main"
    return model.source, model.revision or "main"


def _explain(error: Exception, model: Model, location: Path | str) -> OdysseyError:
    """One message for what went wrong: the first known cause along the chain of exceptions."""
    name = f"{location}@{model.revision}" if model.revision and not isinstance(location, Path) else str(location)
    if (known := explain_hub(error, str(location))) is not None:
        return DataError(f"cannot load {name}: {known[0]}", known[1])
    text = " ".join(str(error).split())
    if "safetensors" in text and not model.allow_pickle:
        return DataError(
            f"cannot load {name}: it has no safetensors weights",
            "Allow it (`allow_pickle: true`, --allow-pickle) if you trust its author: pickles can run any code.",
        )
    if "trust_remote_code" in text:
        return DataError(
            f"cannot load {name}: it needs code from its repository",
            "Allow it (`trust_remote_code: true`, --trust-remote-code) if you trust its author: it has your rights.",
        )
    return DataError(f"cannot load {name}: {text[:300]}", "Check the name, the revision and the connection.")
