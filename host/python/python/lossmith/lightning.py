"""A session in a training of Lightning: ``Trainer(callbacks=[SessionCallback(session)])``."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lossmith import Session, progress
from lossmith.training import forget


class SessionCallback(Callback):
    """Lets a session take candidates at the end of each epoch of a ``lightning.pytorch.Trainer``.

    The modules of the session belong into the LightningModule as submodules: so checkpoints have what they keep, and so
    has what the session guards, which is the LightningModule and its optimizers. Strategies are told epoch and step,
    which counts batches, until ``fit`` ends, also by an exception; the session is closed then.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._updates = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Guards the module and its optimizers, which have the state of a checkpoint by now."""
        self.session.guard(pl_module, *trainer.optimizers)
        self._updates = trainer.global_step

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Tells the strategies how far the training is."""
        epochs, steps = trainer.max_epochs, trainer.num_training_batches
        progress(
            epoch=trainer.current_epoch,
            step=trainer.fit_loop.total_batch_idx,
            # 0 is what nobody knows: Lightning says -1, and that a stream has infinitely many batches.
            epochs=0 if epochs is None or epochs < 0 else epochs,
            steps_per_epoch=0 if steps == float("inf") else int(steps),
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A safe point, unless gradients are being accumulated: those would go into weights that were brought back."""
        if trainer.global_step != self._updates:
            self._updates = trainer.global_step
            self.session.step()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The boundary. Lightning writes the epoch's checkpoint after it."""
        self.session.boundary(epoch=trainer.current_epoch + 1)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Closes the session. What the strategies were told is forgotten."""
        forget()
        self.session.close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Closes the session, whose journal says what the exception was. What the strategies were told is forgotten."""
        forget()
        self.session.__exit__(type(exception), exception, exception.__traceback__)
