"""Host tensors on their way to a device, which nobody waits for."""

import torch


def on_device(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return a copy of a host tensor on a device, made in the order of its stream."""
    if device.type != "cuda":
        return host.to(device)
    # Memory that is not pinned is copied only once the device has done all that it was given before.
    return host.pin_memory().to(device, non_blocking=True)


def on_host(found: torch.Tensor) -> torch.Tensor:
    """Return a tensor that a device's content will be in once its stream has come so far; at once on a CPU."""
    if not found.is_cuda:
        return found
    return torch.empty(found.shape, dtype=found.dtype, pin_memory=True).copy_(found, non_blocking=True)


def recorded(stream: torch.cuda.Stream) -> torch.cuda.Event:
    """Return an event behind all that a stream was given so far."""
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record(stream)
    return event
