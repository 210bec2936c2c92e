"""A session in a training of Hugging Face: ``Trainer(callbacks=[SessionCallback(session)])``."""

from __future__ import annotations

from typing import Any

from torch.nn import Module
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import has_length

from lossmith import Session, progress
from lossmith.training import forget


class SessionCallback(TrainerCallback):
    """Lets a session take candidates at the end of each epoch of a ``transformers.Trainer``, or after every
    ``boundary_steps`` updates of the weights.

    The modules of the session belong into the model as submodules: so checkpoints have what they keep, and so has what
    the session guards, which is the model and its optimizer. Strategies are told epoch and step, which counts batches.
    The session is closed when the training ends; an exception ends it without a word to callbacks, so put
    ``with session:`` around ``trainer.train()``.
    """

    def __init__(self, session: Session, boundary_steps: int | None = None) -> None:
        if boundary_steps is not None and boundary_steps < 1:
            raise ValueError(f"boundary_steps is {boundary_steps}: give the updates between two boundaries, 1 or more")
        self.session, self.boundary_steps = session, boundary_steps
        self._batch = 0

    # `model` and what else is named comes by keyword, of which the base class says nothing.
    def on_train_begin(  # type: ignore[override]
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        model: Module,
        optimizer: Optimizer,
        **kwargs: Any,
    ) -> None:
        """Guards the model and its optimizer, which have the state of a checkpoint by now."""
        self.session.guard(model, optimizer)

    def on_step_begin(  # type: ignore[override]
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        *,
        train_dataloader: DataLoader[Any],
        **kwargs: Any,
    ) -> None:
        """Tells the strategies how far the training is."""
        self._batch = state.global_step * args.gradient_accumulation_steps
        progress(
            epoch=int(state.epoch or 0),
            step=self._batch,
            epochs=state.num_train_epochs,
            # 0 is what nobody knows.
            steps_per_epoch=len(train_dataloader) if has_length(train_dataloader) else 0,
        )

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tells the strategies that the next of the batches comes, whose gradients are accumulated."""
        self._batch += 1
        progress(step=self._batch)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """A safe point; a boundary after every ``boundary_steps``. A checkpoint of this step is written after it."""
        self.session.step()
        if self.boundary_steps is not None and state.global_step % self.boundary_steps == 0:
            self.session.boundary(epoch=int(state.epoch or 0))

    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """The boundary. A checkpoint of this epoch is written after it."""
        if self.boundary_steps is None:
            self.session.boundary(epoch=int(state.epoch or 0))

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Closes the session. What the strategies were told is forgotten."""
        forget()
        self.session.close()
