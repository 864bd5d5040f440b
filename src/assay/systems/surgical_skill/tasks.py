"""What is done with the needle: driven through tissue, handed over, passed through rings, dropped.

Each task is told as a script: a generator that is resumed once a frame, and leads the hands.
"""

import math
from collections.abc import Generator, Iterator
from itertools import chain

import numpy as np

from assay.systems.surgical_skill.hands import ARC, CLOSE, Hand, Manner, World

__all__ = ["targets_of", "work"]

Script = Iterator[None]
BURIED_ARC = math.radians(80)
"""Arc of the needle that the tissue hides while the needle goes through it."""
RELEASE_ARC = math.radians(100)
TAIL, POINT = 0.78, 0.2
"""Where on its arc the needle is held, to be driven and to be pulled."""
RING_RADIUS = 0.045


def targets_of(variant: str, rng: np.random.Generator) -> list[complex]:
    """Where the entry points or rings of a task are."""
    count = {"needle drive": 4, "hand-over": 3, "ring pass": 3}[variant]
    xs = np.linspace(0.32, 0.68, count) + rng.normal(0, 0.02, count)
    ys = rng.uniform(0.2, 0.4, count)
    return [complex(x, y) for x, y in zip(xs, ys, strict=True)]


def work(world: World, how: Manner, variant: str) -> Generator[None, float, None]:
    """The task without end, with the drops in between; each frame is sent a chance from 0 to 1.

    The needle is lost only where it is seen: inside the image and carried, not in tissue.

    Args:
        world: What is led.
        how: The manner of who works.
        variant: ``needle drive``, ``hand-over`` or ``ring pass``.
    """
    needle, script = world.needle, _task(world, variant)
    while True:
        next(script)
        chance = yield
        if chance < how.drop and needle.held >= 0 and not needle.led and _in_sight(needle.centre):
            script = chain(_drop(world), _task(world, variant))


def _task(world: World, variant: str) -> Script:
    """Carry the needle for a while, then work with it, again and again."""
    order, turn = world.rng.permutation(len(world.targets)).tolist(), 0
    while True:
        yield from _carried(world, waypoints=int(world.rng.integers(1, 3)))
        if variant == "hand-over" or world.needle.where < 0.5:
            yield from _hand_over(world)
        elif variant == "needle drive":
            yield from _drive(world, order[turn % len(order)])
        else:
            yield from _pass_ring(world, order[turn % len(order)])
            yield from _hand_over(world)
        turn += 1


def _carried(world: World, waypoints: int) -> Script:
    """Both hands wander until the one with the needle has had this many waypoints."""
    for hand in world.hands:
        hand.free, hand.exact = True, False
    end = world.waypoints + waypoints
    while world.waypoints < end:
        yield


def _drop(world: World) -> Script:
    """Lose the needle; it lies for 1 to 3 s, then a driver that is near takes it again."""
    needle, rng = world.needle, world.rng
    loser = world.hands[needle.held]
    world.let_go()
    needle.inside = -1
    for hand in world.hands:
        hand.free, hand.exact = hand is not loser, False
    _retreat(world, loser)
    slip = complex(*rng.normal(0, 0.02, 2))
    spin = rng.normal(0, 0.8)
    fall = world.frames(0.25)
    lies = world.frames(rng.uniform(1, 3))
    for _ in range(fall):
        needle.centre += slip / fall
        needle.angle += spin / fall
        needle.depth *= 0.7
        yield
    needle.depth = 0.0
    for _ in range(max(lies - fall - world.frames(0.9), 0)):
        yield
    where = TAIL if rng.random() < 0.8 else POINT
    taker = min(world.hands, key=lambda hand: abs(hand.at - needle.point(where)))
    yield from _reach(world, taker, where, world.frames(0.9))
    world.grasp(taker.side, where)


def _reach(world: World, hand: Hand, where: float, least: int) -> Script:
    """Go to a place on the needle with open jaws; tired hands are content with less."""
    needle, waited = world.needle, 0
    hand.free, hand.jaw_target, hand.depth_target = False, 0.5, needle.depth
    hand.wrist_target = 0.0
    while True:
        hand.target = needle.point(where)
        hand.exact = abs(hand.at - hand.target) < 0.05
        near = abs(hand.at - hand.target) < CLOSE * (0.6 + waited / (2 * world.fps))
        if near and waited >= least:
            return
        waited += 1
        yield


def _retreat(world: World, hand: Hand) -> None:
    """Go back a little, away from where the hand is."""
    back = complex(math.cos(hand.angle), math.sin(hand.angle))
    hand.target = hand.at - 0.07 * back
    hand.free, hand.exact, hand.depth_target = False, False, 0.6


def _hand_over(world: World) -> Script:
    """Give the needle to the other driver, which takes it at its other end."""
    needle, rng = world.needle, world.rng
    giver, taker = world.hands[needle.held], world.hands[1 - needle.held]
    giver.target = complex(rng.normal(0.5, 0.04), rng.normal(0.28, 0.04))
    giver.free, giver.depth_target = False, 0.5
    where = TAIL if needle.where < 0.5 else POINT
    yield from _reach(world, taker, where, world.frames(0.8 - 0.3 * world.skill))
    for _ in range(world.frames(0.25)):  # both hold it for a moment
        taker.target, taker.jaw_target = needle.point(where), 0.07
        yield
    giver.jaw_target = 0.6
    world.grasp(taker.side, where)
    taker.free = True
    _retreat(world, giver)
    for _ in range(world.frames(0.4)):
        yield


def _drive(world: World, target: int) -> Script:
    """Drive the needle through tissue, let it rest there, and pull it out at its point."""
    needle, rng, skill = world.needle, world.rng, world.skill
    hand, other = world.hands[needle.held], world.hands[1 - needle.held]
    yield from _aim(world, hand, world.targets[target])
    needle.led, needle.resting, needle.depth = True, True, 0.05
    start, release = needle.angle, RELEASE_ARC
    yield from _push(world, hand, start, 0.0, release, 1.5 - 0.7 * skill)
    world.let_go()
    _retreat(world, hand)
    for _ in range(world.frames(0.3 + rng.uniform(0.1, 0.9) * (1.2 - skill))):
        yield
    puller = other if rng.random() < 0.6 else hand
    yield from _reach(world, puller, 0.06, world.frames(0.4))
    world.grasp(puller.side, 0.06)
    yield from _push(world, puller, start, release, ARC + BURIED_ARC, 1.6 - 0.7 * skill)
    needle.led, needle.resting, needle.buried = False, False, (0.0, 0.0)
    world.grasp(puller.side, needle.where)


def _aim(world: World, hand: Hand, goal: complex) -> Script:
    """Bring the needle's point to an entry point."""
    needle, waited = world.needle, 0
    hand.free, hand.depth_target, hand.wrist_target = False, 0.05, world.rng.uniform(-0.4, 0.4)
    while abs(needle.point(0.0) - goal) > CLOSE * (0.4 + waited / (2 * world.fps)):
        hand.target = hand.at + (goal - needle.point(0.0))
        waited += 1
        yield


def _push(
    world: World, hand: Hand, start: float, begin: float, end: float, seconds: float
) -> Script:
    """Turn the needle about the centre of its arc, with the hand on it."""
    needle, frames = world.needle, world.frames(seconds)
    hand.free, hand.exact, hand.depth_target, hand.jaw_target = False, True, 0.05, 0.07
    for frame in range(1, frames + 1):
        done = frame / frames
        turned = begin + (end - begin) * done * done * (3 - 2 * done)
        needle.angle = start - turned
        ends = ((turned - BURIED_ARC) / ARC, turned / ARC)
        needle.buried = (min(max(ends[0], 0.0), 1.0), min(max(ends[1], 0.0), 1.0))
        hand.target = needle.point(needle.where)
        yield


def _pass_ring(world: World, target: int) -> Script:
    """Carry the needle through a ring, from one side to the other."""
    needle, goal = world.needle, world.targets[target]
    hand = world.hands[needle.held]
    hand.free, hand.depth_target, hand.wrist_target = False, 0.2, 0.0
    toward = -1.0 if hand.side else 1.0
    for x in (-0.07 * toward, 0.05 * toward):
        waited, place = 0, goal + x
        while abs(hand.at - place) > CLOSE * (0.6 + waited / (2 * world.fps)):
            hand.target = place
            inside = abs(needle.centre - goal) < RING_RADIUS
            needle.inside = target if inside else -1
            waited += 1
            yield
    needle.inside = -1


def _in_sight(point: complex) -> bool:
    return 0.12 < point.real < 0.88 and 0.09 < point.imag < 0.47
