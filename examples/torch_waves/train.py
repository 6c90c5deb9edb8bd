"""Fits a sum of waves with a small torch network, as config.yaml says: python train.py"""

from pathlib import Path

import torch
import yaml
from torch import nn

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}


def waves(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(3 * x) + 0.5 * torch.cos(7 * x)


def main() -> None:
    config = yaml.safe_load(Path("config.yaml").read_text())
    run, shape, optimizer = config["run"], config["model"], config["optimizer"]
    generator = torch.manual_seed(run["seed"])
    model = nn.Sequential(
        nn.Linear(1, shape["width"]), ACTIVATIONS[shape["activation"]](), nn.Linear(shape["width"], 1)
    )
    rates = {"lr": optimizer["lr"]} | ({"momentum": optimizer["momentum"]} if optimizer["name"] == "sgd" else {})
    step_of = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer["name"]](model.parameters(), **rates)
    held_out = torch.linspace(-2, 2, 512)[:, None]
    for step in range(1, run["max_steps"] + 1):
        x = torch.rand(optimizer["batch_size"], 1, generator=generator) * 4 - 2
        loss = nn.functional.mse_loss(model(x), waves(x) + 0.1 * torch.randn(x.shape, generator=generator))
        step_of.zero_grad()
        loss.backward()
        step_of.step()
        if step % 50 == 0:
            print(f"step {step}/{run['max_steps']} loss {loss.item():.5f}", flush=True)
    with torch.no_grad():
        mse = nn.functional.mse_loss(model(held_out), waves(held_out)).item()
    output = Path(run["output_dir"])
    output.mkdir(parents=True, exist_ok=True)
    torch.save(model.state_dict(), output / "model.pt")
    print(f"validation mse: {mse:.6f}")


if __name__ == "__main__":
    main()
