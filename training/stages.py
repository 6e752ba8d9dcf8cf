"""What every training loop shares: a budget of minutes, checkpoints that survive being stopped at any moment, a log, a weight average."""

import os
import time

import torch
from torch import nn

from recipe import FOLDER


def log(stage: str, text: str) -> None:
    line = f"{time.strftime('%H:%M:%S')} {stage}: {text}"
    print(line, flush=True)
    with open(FOLDER / "training.log", "a") as file:
        file.write(line + "\n")


class Checkpoint:
    """Counts the minutes that were really trained, over however many runs, and saves every half minute or so."""

    EVERY = 60.0

    def __init__(self, name: str, model: nn.Module, minutes: float):
        self.path = FOLDER / f"{name}.pt"
        self.name, self.model, self.minutes = name, model, minutes
        self.step, self.spent, self.items, self.averages = 0, 0.0, 0, {}
        self.saved = self.logged = time.time()
        self.state = torch.load(self.path, map_location="cpu", weights_only=True) if self.path.exists() else None
        if self.state:
            model.load_state_dict(self.state["model"])
            self.step, self.spent, self.items = self.state["step"], self.state["spent"], self.state["items"]
        self.before = self.spent
        torch.manual_seed(self.step)  # a loop that goes on sees new captions and new noise

    @staticmethod
    def averaged(name: str, model: nn.Module) -> None:
        """Loads the averaged weights of a checkpoint into the model."""
        state = torch.load(FOLDER / f"{name}.pt", map_location="cpu", weights_only=True)
        model.load_state_dict(state["model"])
        with torch.no_grad():
            for weight, mean in zip(model.parameters(), state["average"]["weights"], strict=True):
                weight.copy_(mean)

    def restore(self, optimizer=None, average=None) -> None:
        """Optimizer and average are absent from weights that were only carried over."""
        if self.state and optimizer and "optimizer" in self.state:
            optimizer.load_state_dict(self.state["optimizer"])
        if self.state and average and "average" in self.state:
            average.load(self.state["average"])

    def steps(self):
        """Yields the step and the fraction of the budget that is spent, until it is."""
        while self.spent < self.minutes:
            begin = time.time()
            yield self.step, self.spent / self.minutes
            self.spent += (time.time() - begin) / 60
            self.step += 1

    def log(self, step: int, done: float, items: int, **values) -> None:
        self.items += items
        for key, value in values.items():
            value = float(value.detach()) if torch.is_tensor(value) else value
            self.averages[key] = 0.98 * self.averages.get(key, value) + 0.02 * value
        if time.time() - self.logged > 20:
            self.logged = time.time()
            figures = ", ".join(f"{key} {value:.4f}" for key, value in self.averages.items())
            rate = self.items / max(self.spent * 60, 1)
            log(self.name, f"step {step}, {self.spent:.1f} of {self.minutes:.0f} min, {figures}, {rate:.1f} items/s")

    def save(self, optimizer=None, average=None, force=False) -> None:
        if not force and time.time() - self.saved < self.EVERY:
            return
        self.saved = time.time()
        state = {"model": self.model.state_dict(), "step": self.step, "spent": self.spent, "items": self.items}
        if optimizer:
            state["optimizer"] = optimizer.state_dict()
        if average:
            state["average"] = average.state()
        partial = self.path.with_suffix(".partial")
        torch.save(state, partial)
        os.replace(partial, self.path)

    def finish(self, optimizer=None, average=None) -> None:
        if self.spent > self.before:
            self.save(optimizer, average, force=True)
        log(self.name, f"done: {self.step} steps, {self.items} items, {self.spent:.1f} min")


def descend(loss: torch.Tensor, optimizer: torch.optim.Optimizer, average: "Average") -> None:
    """One step downhill, of a gradient no longer than 1, and its share in the average."""
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_([weight for group in optimizer.param_groups for weight in group["params"]], 1.0)
    optimizer.step()
    average.update()


class Average:
    """An exponential moving average of a model's weights; short at first, so that it forgets where it began."""

    def __init__(self, model: nn.Module, decay=0.999):
        self.model, self.decay, self.count = model, decay, 0
        self.weights = [p.detach().clone() for p in model.parameters()]

    @torch.no_grad()
    def update(self) -> None:
        self.count += 1
        decay = min(self.decay, (1 + self.count) / (10 + self.count))
        torch._foreach_lerp_(self.weights, list(self.model.parameters()), 1 - decay)

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the model's weights with the average; calling it again undoes it."""
        for mine, theirs in zip(self.weights, self.model.parameters(), strict=True):
            held = theirs.detach().clone()
            theirs.copy_(mine)
            mine.copy_(held)

    def state(self):
        return {"count": self.count, "weights": self.weights}

    def load(self, state) -> None:
        self.count = state["count"]
        for mine, saved in zip(self.weights, state["weights"], strict=True):
            mine.copy_(saved)
