"""The dimensions of a decoder that memory and time depend on, from its configuration or from an existing base."""

from __future__ import annotations

from dataclasses import dataclass

from engine.plan.bases import BaseFacts
from engine.plan.cost import count_parameters, llama_inner
from engine.spec.methods import takes
from engine.spec.run import Architecture, Method


@dataclass(frozen=True)
class Shape:
    """A decoder's dimensions."""

    n_params: int
    n_layer: int
    width: int
    inner: int
    n_head: int
    vocabulary: int
    gated: bool
    """Whether its MLP is gated, as Llama's: three matrices and four activations instead of two and two."""

    @property
    def linear(self) -> int:
        """Weights of the blocks' linear layers."""
        return self.n_layer * self.width * (4 * self.width + (3 if self.gated else 2) * self.inner)

    def count_trained(self, method: Method) -> int:
        """Parameters that a method trains; for adapters on all linear layers, approximate where it targets others."""
        if method.name == "full":
            return self.n_params
        sides = 8 * self.width + (3 if self.gated else 2) * (self.width + self.inner)
        if not takes(method.name, "rank") or method.name == "vera":
            return self.n_layer * sides  # vectors, no matrices
        return self.n_layer * method.rank * sides * (2 if method.name == "loha" else 1)


def shape_of(architecture: Architecture, vocabulary: int) -> Shape:
    """The shape of a decoder trained from scratch."""
    gated = architecture.family == "llama"
    return Shape(
        n_params=count_parameters(architecture, vocabulary),
        n_layer=architecture.n_layer,
        width=architecture.n_embd,
        inner=llama_inner(architecture.n_embd) if gated else 4 * architecture.n_embd,
        n_head=architecture.n_head,
        vocabulary=vocabulary,
        gated=gated,
    )


UNGATED = frozenset({"gpt2", "gpt_neox", "gpt_neo", "gptj", "opt", "bloom", "falcon", "phi"})


def shape_of_base(facts: BaseFacts) -> Shape | None:
    """The shape of an existing base; None where its configuration does not say enough."""
    if not (facts.n_params and facts.n_layer and facts.width and facts.vocabulary):
        return None
    return Shape(
        n_params=facts.n_params,
        n_layer=facts.n_layer,
        width=facts.width,
        inner=facts.inner or 4 * facts.width,
        n_head=facts.n_head or max(1, facts.width // 64),
        vocabulary=facts.vocabulary,
        gated=facts.family not in UNGATED,
    )
