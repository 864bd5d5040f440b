"""Soft backups and the steps that follow them, compiled; see `value_iteration`.

A model is a tuple of successors ``[states, actions, J]``, their chances, and rewards ``[states,
actions]``.
"""

import numpy as np
from numba import njit

from assay.parts.compiled import kept_on_disk

__all__ = ["iterate"]

compiled = njit(error_model="numpy")


@compiled
def _backup(s, values, model, allowed, discount, temperature, q):
    """The soft value of one state; what its actions weigh in it is left in ``q``."""
    successors, chances, rewards = model
    best, first = -np.inf, 0
    for a in range(q.size):
        q[a] = -np.inf
        if allowed[s, a]:
            q[a] = rewards[s, a]
            for j in range(successors.shape[2]):
                q[a] += discount * chances[s, a, j] * values[successors[s, a, j]]
            if q[a] > best:
                best, first = q[a], a
    if temperature == 0.0:
        for a in range(q.size):
            q[a] = 1.0 if a == first else 0.0
        return best
    total = 0.0
    for a in range(q.size):
        q[a] = np.exp((q[a] - best) / temperature)
        total += q[a]
    for a in range(q.size):
        q[a] /= total
    return best + temperature * np.log(total / q.size)


@compiled
def _follow(s, model, weights, slot, who, row):
    """The states that a policy leads to from one state, each once; returns their number."""
    successors, chances, _ = model
    count = 0
    for a in range(weights.size):
        if weights[a] == 0.0:
            continue
        for j in range(successors.shape[2]):
            at = successors[s, a, j]
            if slot[at] < 0:
                slot[at] = count
                who[count], row[count] = at, 0.0
                count += 1
            row[slot[at]] += weights[a] * chances[s, a, j]
    for k in range(count):
        slot[who[k]] = -1
    return count


@compiled
def _most_followers(model, slot, who):
    """Most states that one state can lead to."""
    successors, most = model[0], 0
    for s in range(successors.shape[0]):
        count = 0
        for a in range(successors.shape[1]):
            for j in range(successors.shape[2]):
                at = successors[s, a, j]
                if slot[at] < 0:
                    slot[at] = count
                    who[count] = at
                    count += 1
        for k in range(count):
            slot[who[k]] = -1
        most = max(most, count)
    return most


@compiled
def _gains(changes, discount, counts, who, row, most):
    """Sum up changes along a policy: gains = changes + discount * row @ gains, nearly."""
    gains, states = changes.copy(), changes.size
    limit = 0.1 * np.max(np.abs(changes))
    for sweep in range(most):
        moved = 0.0
        for i in range(states):
            s = i if sweep % 2 == 0 else states - 1 - i
            total = 0.0
            for k in range(counts[s]):
                total += row[s, k] * gains[who[s, k]]
            new = changes[s] + discount * total
            moved = max(moved, abs(new - gains[s]))
            gains[s] = new
        if moved <= limit * (1.0 - discount):
            break
    return gains


@kept_on_disk
def iterate(values, model, allowed, discount, temperature, enough, rounds, most):
    """Newton steps until no backup changes a value by more; returns the last change, the rounds."""
    states, q = values.size, np.empty(model[2].shape[1])
    slot, seen = np.full(states, -1, np.int64), np.empty(states, np.int64)
    width = _most_followers(model, slot, seen)
    who, row = np.empty((states, width), np.int64), np.empty((states, width))
    counts, changes, worst = np.empty(states, np.int64), np.empty(states), np.inf
    for taken in range(rounds):
        for s in range(states):
            changes[s] = _backup(s, values, model, allowed, discount, temperature, q) - values[s]
            counts[s] = _follow(s, model, q, slot, who[s], row[s])
        worst = np.max(np.abs(changes))
        if worst <= enough:
            return worst, taken + 1
        values += _gains(changes, discount, counts, who, row, most)
    return worst, rounds
