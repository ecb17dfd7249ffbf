"""Host memory for adapters, in pages as large as the pool's, from which a GPU copies without a stop on its way."""

import torch


class HostArena:
    """Pages uint8 [num_pages, page_bytes] of host memory, pinned where a GPU reads them, taken and given back."""

    def __init__(self, num_bytes: int, page_bytes: int, *, is_pinned: bool) -> None:
        num_pages = num_bytes // page_bytes
        self.pages = torch.empty(num_pages, page_bytes, dtype=torch.uint8, pin_memory=is_pinned and num_pages > 0)
        self._free = list(range(num_pages - 1, -1, -1))

    @property
    def num_free(self) -> int:
        return len(self._free)

    def allocate(self, num_pages: int) -> list[int] | None:
        """Return so many pages, None if there are too few."""
        if num_pages > len(self._free):
            return None
        return [self._free.pop() for _ in range(num_pages)]

    def free(self, pages: list[int]) -> None:
        """Take pages back."""
        self._free += pages
