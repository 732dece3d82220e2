import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from core.runtime.decoder import Tree
from core.runtime.module import ModuleDecoder
from core.speculate.medusa.tree import MISSED, UNASKED, CandidateTree, best_size, grow, interpolated, top_k

ranks = st.lists(st.tuples(st.integers(-1, 3), st.integers(-2, 3), st.integers(-2, 3)), min_size=1, max_size=60)


@given(ranks, st.integers(1, 40))
def test_every_beginning_of_a_grown_tree_is_a_tree(rows, nodes):
    grown = grow(torch.tensor(rows), nodes)
    known = {()}
    for path in grown.paths:
        assert path[:-1] in known
        assert path not in known
        known.add(path)  # type: ignore[arg-type]
    assert list(grown.gains) == sorted(grown.gains, reverse=True)
    assert len(grown.paths) <= nodes


@given(ranks)
def test_gains_of_rounds_that_were_watched_whole_are_counted_paths(rows):
    whole = [tuple(MISSED if rank == UNASKED else rank for rank in row) for row in rows]
    grown = grow(torch.tensor(whole), 200)
    for path, gain in zip(grown.paths, grown.gains, strict=True):
        assert gain == pytest.approx(sum(row[: len(path)] == path for row in whole) / len(whole))


def test_no_tree_of_as_many_nodes_brings_more():
    """Against every tree of three nodes."""
    rows = torch.tensor([[0, 0], [0, 0], [0, 1], [1, 0], [1, 0], [2, -1], [-1, 0]])
    grown = grow(rows, 3)
    every = grow(rows, 99)
    gains = dict(zip(every.paths, every.gains, strict=True))
    best = 0.0
    for chosen in itertools.combinations(gains, 3):
        if all(path[:-1] in ((), *chosen) for path in chosen):
            best = max(best, sum(gains[path] for path in chosen))
    assert sum(grown.gains) == pytest.approx(best)


def test_what_was_not_asked_counts_neither_for_nor_against():
    rows = torch.tensor([[0, 0], [0, UNASKED], [0, UNASKED], [0, MISSED]])
    grown = grow(rows, 9)
    assert dict(zip(grown.paths, grown.gains, strict=True)) == {(0,): 1.0, (0, 0): 0.5}
    assert top_k(rows, 2) == ((1.0, 1.0), (0.5, 0.5))


def test_parents_children_and_places_belong_together():
    tree = CandidateTree(((0,), (1,), (0, 0), (0, 2), (0, 0, 1)), (0.5, 0.3, 0.2, 0.1, 0.1))
    assert tree.parents == (-1, 0, 0, 1, 1, 3)
    assert tree.children == ((1, 2), (3, 4), (), (5,), (), ())
    candidates = torch.tensor([[10, 11, 12], [20, 21, 22], [30, 31, 32]])
    assert candidates.view(-1)[tree.places].tolist() == [10, 11, 20, 22, 31]
    assert tree.expected == pytest.approx(2.2)
    assert tree.first(4, depth=1).paths == ((0,), (1,))
    assert CandidateTree((), ()).parents == (-1,)


def test_the_size_that_pays_is_taken():
    tree = CandidateTree(tuple((rank,) for rank in range(5)), (0.4, 0.2, 0.1, 0.05, 0.01))
    assert best_size(tree, lambda nodes: 1.0, 5) == 5
    assert best_size(tree, lambda nodes: 1 + 0.1 * nodes, 5) == max(range(6), key=lambda nodes: (1 + sum(tree.gains[:nodes])) / (1 + 0.1 * nodes))
    assert best_size(tree, lambda nodes: 1.0 if nodes == 0 else 9.0, 5) == 0
    cost = interpolated([(0, 1.0), (2, 2.0), (4, 6.0)])
    assert [cost(nodes) for nodes in (0, 1, 2, 3, 4, 5)] == [1, 1.5, 2, 4, 6, 8]


def test_a_node_of_the_tree_sees_its_path_and_nothing_else(target, tree):
    """Each path decoded alone, without any tree, gives the logits of its nodes."""
    generator = torch.Generator().manual_seed(0)
    prompt = torch.randint(0, 48, (1, 9), generator=generator)
    tokens = torch.randint(0, 48, (1, len(tree.parents)), generator=generator)
    decoder = ModuleDecoder(target, 64)
    decoder.forward(prompt)
    logits = decoder.forward(tokens, tree=tree.mask)[0]
    for node in range(len(tree.parents)):
        path = [node]
        while tree.parents[path[0]] >= 0:
            path.insert(0, tree.parents[path[0]])
        alone = target(input_ids=torch.cat((prompt, tokens[:, path]), 1)).logits[0, -1]
        torch.testing.assert_close(logits[node], alone, atol=2e-4, rtol=2e-4)
    assert torch.equal(tree.mask.ancestors, Tree.of(tree.parents).ancestors)
