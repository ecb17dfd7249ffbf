"""Gate the up projection of an MLP by the SiLU of its gate (Shazeer, GLU Variants Improve Transformer, equation 6).

Semantics: gate, up = gate_up.chunk(2, dim=-1); out = gate * sigmoid(gate) * up

gate_up  [num_tokens, 2 * width], the fused projection; rows contiguous, their stride free
out      [num_tokens, width]

In fp32; the SiLU is rounded to the type of the gate where transformers rounds it. A padding row makes a padding row.
"""

import torch
import triton
import triton.language as tl


def silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """Return the gated rows; see the module's semantics."""
    return launch_silu_mul(gate_up) if gate_up.is_cuda else silu_mul_reference(gate_up)


def silu_mul_reference(gate_up: torch.Tensor) -> torch.Tensor:
    """Return the gated rows; see the module's semantics."""
    check(gate_up)
    gate, up = gate_up.chunk(2, dim=-1)
    return torch.nn.functional.silu(gate) * up


BLOCK = 1024


@triton.jit
def silu_mul_kernel(out, gate_up, width, gate_up_stride, BLOCK: tl.constexpr):
    i_token = tl.program_id(0).to(tl.int64)
    o_width = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    m_width = o_width < width
    p_gate = gate_up + i_token * gate_up_stride + o_width
    b_gate = tl.load(p_gate, mask=m_width, other=0.0).to(tl.float32)
    b_up = tl.load(p_gate + width, mask=m_width, other=0.0).to(tl.float32)
    b_silu = (b_gate * tl.sigmoid(b_gate)).to(gate_up.dtype.element_ty).to(tl.float32)
    tl.store(out + i_token * width + o_width, (b_silu * b_up).to(out.dtype.element_ty), mask=m_width)


def launch_silu_mul(gate_up: torch.Tensor) -> torch.Tensor:
    """Return the rows gated by the kernel."""
    check(gate_up)
    num_tokens, width = gate_up.shape[0], gate_up.shape[1] // 2
    out = torch.empty(num_tokens, width, dtype=gate_up.dtype, device=gate_up.device)
    if out.numel():
        silu_mul_kernel[(num_tokens, triton.cdiv(width, BLOCK))](
            out=out,
            gate_up=gate_up,
            width=width,
            gate_up_stride=gate_up.stride(0),
            BLOCK=BLOCK,
            num_warps=4,
        )
    return out


def check(gate_up: torch.Tensor) -> None:
    """Raise ValueError for what is no fused projection."""
    if gate_up.ndim != 2 or gate_up.shape[1] % 2 or gate_up.stride(1) != 1:
        raise ValueError(
            f"gate_up, got {tuple(gate_up.shape)} with strides {gate_up.stride()}, expected [num_tokens, 2 * width]"
            " with contiguous rows"
        )
