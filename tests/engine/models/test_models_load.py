"""Loading models: what works, and the one message for what does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from engine.models.load import ModelFacts, load_model, read_facts
from engine.models.save import save_state
from engine.spec.run import Model
from engine.train.calibrate import _random_copy
from store.errors import ConfigError, DataError, OdysseyError
from store.workspace import Workspace

TOKENS = torch.tensor([[1, 5, 9, 2, 7, 3]])


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "workspace")


@pytest.fixture
def gpt2(tmp_path: Path) -> Path:
    """A folder with a tiny GPT-2 that uses GPT-2's own activation, as hub checkpoints do."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=40, n_positions=8, bos_token_id=0, eos_token_id=0)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "gpt2")
    return tmp_path / "gpt2"


def test_a_local_folder_gives_the_logits_of_plain_transformers(gpt2: Path, workspace: Workspace) -> None:
    from transformers import AutoModelForCausalLM

    loaded = load_model(Model(source=str(gpt2), tokens_seen=1000), workspace)
    plain = AutoModelForCausalLM.from_pretrained(gpt2).eval()
    with torch.no_grad():
        torch.testing.assert_close(loaded(TOKENS).logits, plain(TOKENS).logits, atol=1e-6, rtol=1e-5)
    facts = read_facts(Model(source=str(gpt2), tokens_seen=1000), workspace, loaded)
    assert facts.n_params == sum(p.numel() for p in plain.parameters())
    assert facts.ptpp == 1000 / facts.n_params
    assert read_facts(Model(source=str(gpt2)), workspace, loaded).ptpp is None


def test_calibration_times_the_layers_that_training_uses(gpt2: Path, workspace: Workspace) -> None:
    loaded = load_model(Model(source=str(gpt2)), workspace)
    timed = _random_copy(Model(source=str(gpt2)))
    assert [type(module) for module in timed.modules()] == [type(module) for module in loaded.modules()]


def test_a_state_of_a_run_loads_with_its_facts_and_in_transformers(
    gpt2: Path, workspace: Workspace, tiny_tokenizer
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = load_model(Model(source=str(gpt2)), workspace)
    facts = ModelFacts("r@ptpp8", 10, 5, 80, 8.0, "abc")
    folder = workspace.run("r").checkpoint("ptpp8")
    save_state(folder, model, tiny_tokenizer, facts)
    save_state(folder, model, tiny_tokenizer, facts)
    state = Model(run="r", state="ptpp8")
    loaded = load_model(state, workspace)
    assert read_facts(state, workspace, loaded) == facts
    with torch.no_grad():
        expected = model(TOKENS).logits
        torch.testing.assert_close(loaded(TOKENS).logits, expected)
        torch.testing.assert_close(AutoModelForCausalLM.from_pretrained(folder)(TOKENS).logits, expected)
    assert AutoTokenizer.from_pretrained(folder).decode([1, 2]) == tiny_tokenizer.hf.decode([1, 2])
    assert [path.name for path in folder.parent.iterdir()] == ["ptpp8"]


def test_a_state_that_was_never_saved(workspace: Workspace) -> None:
    with pytest.raises(DataError, match="run r has no saved state 'ptpp8'"):
        load_model(Model(run="r", state="ptpp8"), workspace)


def test_a_folder_without_a_model(tmp_path: Path, workspace: Workspace) -> None:
    with pytest.raises(DataError, match="no model there"):
        load_model(Model(source=str(tmp_path / "nothing")), workspace)


def test_an_adapter_alone_is_told_from_nothing(tmp_path: Path, workspace: Workspace) -> None:
    (tmp_path / "adapter").mkdir()
    with pytest.raises(DataError, match="an adapter alone, without the model it belongs to") as caught:
        load_model(Model(source=str(tmp_path)), workspace)
    assert "RUN@STATE" in caught.value.hint


def test_pickled_weights_are_refused_unless_allowed(gpt2: Path, workspace: Workspace) -> None:
    from safetensors.torch import load_file

    weights = load_file(gpt2 / "model.safetensors")
    torch.save(weights, gpt2 / "pytorch_model.bin")
    (gpt2 / "model.safetensors").unlink()
    with pytest.raises(DataError, match="no safetensors weights") as refusal:
        load_model(Model(source=str(gpt2)), workspace)
    assert "allow_pickle" in refusal.value.hint
    allowed = load_model(Model(source=str(gpt2), allow_pickle=True), workspace)
    assert torch.equal(allowed.transformer.wte.weight, weights["transformer.wte.weight"])


def test_damaged_weights(gpt2: Path, workspace: Workspace) -> None:
    (gpt2 / "model.safetensors").write_bytes(b"\x00" * 64)
    with pytest.raises(DataError, match="damaged"):
        load_model(Model(source=str(gpt2)), workspace)


def test_weights_that_do_not_fit_their_configuration(gpt2: Path, workspace: Workspace) -> None:
    config = json.loads((gpt2 / "config.json").read_text())
    (gpt2 / "config.json").write_text(json.dumps({**config, "model_type": "no-such-family"}))
    with pytest.raises(DataError, match="cannot load"):
        load_model(Model(source=str(gpt2)), workspace)


def test_code_from_a_repository_is_refused_unless_trusted(gpt2: Path, workspace: Workspace) -> None:
    config = json.loads((gpt2 / "config.json").read_text())
    config |= {"model_type": "custom", "auto_map": {"AutoConfig": "c.C", "AutoModelForCausalLM": "m.M"}}
    (gpt2 / "config.json").write_text(json.dumps(config))
    with pytest.raises(DataError, match="needs code from its repository") as refusal:
        load_model(Model(source=str(gpt2)), workspace)
    assert "trust_remote_code" in refusal.value.hint


def test_a_hub_model_while_offline(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OdysseyError, match="cannot load nobody/no-such-model") as failure:
        load_model(Model(source="nobody/no-such-model"), workspace)
    assert "\n" not in failure.value.message
    assert failure.value.hint


@pytest.mark.parametrize(
    ("installed", "message"), [(False, "needs bitsandbytes, which is not installed"), (True, "needs a CUDA device")]
)
def test_quantising_says_what_is_missing(
    gpt2: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch, installed: bool, message: str
) -> None:
    monkeypatch.setattr("engine.models.quantize.find_spec", lambda name: object() if installed else None)
    with pytest.raises(ConfigError, match=message):
        load_model(Model(source=str(gpt2)), workspace, quantize="4bit")


def test_an_adapter_whose_run_is_unknown(workspace: Workspace) -> None:
    (workspace.run("lost").checkpoint("atpp1") / "adapter").mkdir(parents=True)
    with pytest.raises(DataError, match=r"spec\.json is missing"):
        load_model(Model(run="lost", state="atpp1"), workspace)
