"""What moved between the states of a pair, on the Tokens screen: its columns, and the offer to measure it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from odyssey_tui.screens.token_passages import PassagesScreen

if TYPE_CHECKING:
    from odyssey_tui.services.drift import DriftReport
    from odyssey_tui.services.drifting import DriftRun
    from odyssey_tui.services.tokens import StoredPair


class DriftScreen(PassagesScreen):
    """Subclasses draw the columns of ``drift`` in ``show_drift``."""

    def __init__(self) -> None:
        super().__init__()
        self._drifting = False

    @property
    def source(self) -> StoredPair | None:
        """The pair on screen."""
        raise NotImplementedError

    def show_drift(self) -> None:
        """The columns that are wanted have changed."""

    @property
    def drift(self) -> DriftReport | None:
        """The drift whose columns are wanted, where one was measured."""
        return self.source.report.drift if self.source is not None and self._drifting else None

    def action_drift(self) -> None:
        """The columns of what moved, or those of the ledger again; asks to measure a drift where nobody has."""
        source = self.source
        if source is None:
            return
        if source.report.drift is not None:
            self._drifting = not self._drifting
            self.show_drift()
            return
        from odyssey_tui.services.drifting import choose_of_pair

        self.perform(lambda: choose_of_pair(source), self._offer)

    def _offer(self, drift: DriftRun) -> None:
        """Ask whether to queue it, or say how it is."""
        from odyssey_tui.screens.confirm import ConfirmScreen
        from odyssey_tui.services.drifting import offer_words, queue_drift, state_words

        if said := state_words(drift):
            self.notify(said)
            self.reload()
            return

        def answer(agreed: bool | None) -> None:
            if agreed:
                self._drifting = True
                self.perform(lambda: queue_drift(self.odyssey.workspace, drift.spec), self._queued)

        self.app.push_screen(ConfirmScreen("Drift", offer_words(drift)), answer)

    def _queued(self, state: str) -> None:
        self.notify(f"drift {state}; its columns come when it is done")
        self.expect_change()
