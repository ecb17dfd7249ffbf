"""Strongly connected components of a graph (Tarjan, Depth-first search and linear graph algorithms, 1972)."""

from collections.abc import Iterator, Mapping, Sequence


def components(following: Mapping[int, Sequence[int]]) -> list[list[int]]:
    """Return the components of a graph, single nodes included; `following` tells what follows each node, all in it."""
    finder = _Finder(following)
    for node in following:
        if node not in finder.index:
            finder.search(node)
    return finder.found


class _Finder:
    """Searches depth first, without recursion. `index` tells when a node was met."""

    def __init__(self, following: Mapping[int, Sequence[int]]) -> None:
        self.index: dict[int, int] = {}
        self.found: list[list[int]] = []
        self._following = following
        self._lowest: dict[int, int] = {}
        self._open: list[int] = []
        self._is_open: set[int] = set()

    def search(self, start: int) -> None:
        path = [self._enter(start)]
        while path:
            node, left = path[-1]
            for target in left:
                if target not in self.index:
                    path.append(self._enter(target))
                    break
                if target in self._is_open:
                    self._lowest[node] = min(self._lowest[node], self.index[target])
            else:
                path.pop()
                if path:
                    above = path[-1][0]
                    self._lowest[above] = min(self._lowest[above], self._lowest[node])
                self._close(node)

    def _enter(self, node: int) -> tuple[int, Iterator[int]]:
        self.index[node] = self._lowest[node] = len(self.index)
        self._open.append(node)
        self._is_open.add(node)
        return node, iter(self._following[node])

    def _close(self, node: int) -> None:
        """Take a component off the stack if a node is the first of it that was met."""
        if self._lowest[node] < self.index[node]:
            return
        position = self._open.index(node)
        component = self._open[position:]
        del self._open[position:]
        self._is_open.difference_update(component)
        self.found.append(component)
