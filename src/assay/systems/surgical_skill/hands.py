"""Two hands and a needle at one moment, and how they move from frame to frame.

Each tip follows a target as a damped spring that is shaken. Skill makes the spring stiffer and the
shaking weaker, the pace higher and the detours shorter, losses of grip and ways out of view rarer.

Lengths are image widths, angles radians with y downwards. Depth is 0 at the tissue and 1 close to
the camera. Points of the plane are complex numbers: x + iy.
"""

import cmath
import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

__all__ = ["ARC", "CLOSE", "NEEDLE_RADIUS", "PIVOTS", "Hand", "Manner", "Needle", "World", "manner",
           "move"]  # fmt: skip

ARC = math.radians(150)
NEEDLE_RADIUS = 0.036
CLOSE = 0.014
"""A tip closer than this to a point has reached it."""
PIVOTS = (complex(-0.38, 0.66), complex(1.38, 0.66))
"""Where the shafts come from, outside of the image."""
HOMES = (complex(0.37, 0.3), complex(0.63, 0.3))
LONGEST_PULL = 0.2
"""A target further away pulls no harder, so that hands do not fly."""
REACH = ((0.16, 0.66), (0.34, 0.84))
"""From where to where, left to right, a driver works."""


class Spring(NamedTuple):
    """How a tip follows its target: stiffness, friction, and how hard it is shaken."""

    stiffness: float
    friction: float
    shake: float


class Manner(NamedTuple):
    """What skill changes, and what a frame changes; rates are chances per frame.

    Attributes:
        carrying: How a tip moves between waypoints.
        working: How it moves in fine work.
        waypoint: Rate of new waypoints.
        away: Chance of a waypoint to lie out of view.
        spread: Standard deviation of waypoints.
        drop: Rate of drops while the needle is carried.
        ease: Share of the way that wrists, jaws and depth make.
        relax: Share of an awkward grip that is put right.
    """

    carrying: Spring
    working: Spring
    waypoint: float
    away: float
    spread: float
    drop: float
    ease: float
    relax: float


def manner(skill: float, fps: int) -> Manner:
    """How somebody works.

    Drops and waypoints per second are 0.14 (1 - skill)^1.5 + 0.004 and 0.35 + 0.5 skill.

    Args:
        skill: From 0, a beginner, to 1, an expert.
        fps: Frames per second.

    Example:
        >>> round(30 * manner(0.0, 30).drop, 3), round(30 * manner(1.0, 30).drop, 3)
        (0.144, 0.004)
    """
    tremor = 0.02 * (1 - skill) + 0.001
    return Manner(
        carrying=_spring(3.4 + 4.2 * skill, 0.62 + 0.33 * skill, tremor, fps),
        working=_spring(15.0, 1.0, tremor / 4, fps),
        waypoint=(0.35 + 0.5 * skill) / fps,
        away=0.10 * (1 - skill),
        spread=0.12 - 0.065 * skill,
        drop=(0.14 * (1 - skill) ** 1.5 + 0.004) / fps,
        ease=1 - math.exp(-1 / (0.22 * fps)),
        relax=1 - math.exp(-1 / (0.4 * fps)),
    )


def _spring(rate: float, damping: float, tremor: float, fps: int) -> Spring:
    """A spring of this frequency (rad/s) whose tip, at rest, trembles by ``tremor`` in each axis.

    White acceleration of density q gives a damped oscillator the variance q / (4 d w^3).
    """
    return Spring(rate * rate, 2 * damping * rate, tremor * math.sqrt(4 * damping * rate**3 * fps))


@dataclass
class Hand:
    """A driver: where it is, and where it wants to be.

    Attributes:
        side: 0 left, 1 right.
        at: Its tip.
        target: Where the tip wants to be.
        angle: The way it points.
        free: Whether it wanders between waypoints; else the task leads it.
        exact: Whether it follows its target closely, as in fine work.
        stays: Frames for which it keeps its waypoint.
    """

    side: int
    at: complex
    target: complex
    speed: complex = 0j
    angle: float = 0.0
    wrist: float = 0.0
    wrist_target: float = 0.0
    jaw: float = 0.1
    jaw_target: float = 0.1
    depth: float = 0.4
    depth_target: float = 0.4
    free: bool = True
    exact: bool = False
    stays: int = 0

    def point_ahead(self) -> None:
        """Let it point away from where its shaft comes from, but for the wrist."""
        self.angle = cmath.phase(self.at - PIVOTS[self.side]) + self.wrist


@dataclass
class Needle:
    """The needle: where it is, and how it is held.

    Attributes:
        centre: Of its arc.
        angle: The way from there to its middle.
        held: Who holds it: -1, 0 or 1.
        where: Where on the arc it is held, from 0, its point, to 1.
        turn: Its angle, less that of the driver.
        off: From the tip of the driver to where it is held.
        led: Whether the task says where it is, held or not.
        resting: Whether it is in tissue.
        buried: From where to where on the arc.
        inside: The target it passes through; -1 for none.
    """

    centre: complex = 0j
    angle: float = 0.0
    depth: float = 0.4
    held: int = -1
    where: float = 0.78
    turn: float = 0.0
    off: complex = 0j
    led: bool = False
    resting: bool = False
    buried: tuple[float, float] = (0.0, 0.0)
    inside: int = -1

    def point(self, where: float) -> complex:
        """A point on the arc."""
        return self.centre + cmath.rect(NEEDLE_RADIUS, self.angle + (where - 0.5) * ARC)

    def easy_turn(self) -> float:
        """The nearest turn with the needle across the jaws, its arc to one side or the other."""
        across = -(self.where - 0.5) * ARC
        return across + math.pi * round((self.turn - across) / math.pi)


@dataclass
class World:
    """Both hands and the needle at one moment.

    Attributes:
        skill: Of who works.
        fps: Frames per second.
        rng: Where chance comes from.
        targets: Where the entry points or rings are.
        waypoints: How many waypoints the holder of the needle has had.
    """

    skill: float
    fps: int
    rng: np.random.Generator
    targets: list[complex]
    hands: list[Hand] = field(default_factory=lambda: [Hand(n, p, p) for n, p in enumerate(HOMES)])
    needle: Needle = field(default_factory=Needle)
    waypoints: int = 0

    def grasp(self, side: int, where: float) -> None:
        """Hold the needle as it lies; what is awkward is put right while it is carried."""
        hand, needle = self.hands[side], self.needle
        needle.held, needle.where = side, where
        needle.turn = math.remainder(needle.angle - hand.angle, math.tau)
        needle.off = needle.point(where) - hand.at
        hand.jaw_target, hand.exact = 0.07, False

    def let_go(self) -> None:
        """Open the jaws that hold the needle."""
        self.hands[self.needle.held].jaw_target = 0.6
        self.needle.held = -1

    def frames(self, seconds: float) -> int:
        """How many frames these are; at least one."""
        return max(1, round(seconds * self.fps))

    def carry(self, relaxed: float) -> None:
        """Move the needle with the hand that holds it."""
        needle = self.needle
        hand = self.hands[needle.held]
        needle.turn += relaxed * (needle.easy_turn() - needle.turn)
        needle.off *= 1 - relaxed
        needle.angle = hand.angle + needle.turn
        needle.centre += hand.at + needle.off - needle.point(needle.where)
        needle.depth += relaxed * 4 * (hand.depth - needle.depth)


def move(world: World, how: Manner, shake: list[float], chance: list[float]) -> None:
    """One frame: waypoints, springs, and the needle with the hand that holds it.

    Args:
        world: What moves.
        how: The manner.
        shake: Two normal numbers for each hand.
        chance: A number between 0 and 1 for each hand.
    """
    step = 1 / world.fps
    for side, hand in enumerate(world.hands):
        hand.stays -= 1
        if hand.free and hand.stays < 0 and chance[side] < how.waypoint:
            _waypoint(world, how, hand)
        stiffness, friction, strength = how.working if hand.exact else how.carrying
        push = strength * complex(shake[2 * side], shake[2 * side + 1])
        gap = hand.target - hand.at
        gap *= min(1.0, LONGEST_PULL / (abs(gap) + 1e-9))
        hand.speed += step * (stiffness * gap - friction * hand.speed + push)
        hand.at += step * hand.speed
        hand.wrist += how.ease * (hand.wrist_target - hand.wrist)
        hand.jaw += 2 * how.ease * (hand.jaw_target - hand.jaw)
        hand.depth += how.ease * (hand.depth_target - hand.depth)
        hand.point_ahead()
    if world.needle.held >= 0 and not world.needle.led:
        world.carry(how.relax)


def _waypoint(world: World, how: Manner, hand: Hand) -> None:
    """Draw where a hand goes next: around its home, now and then out of view."""
    rng = world.rng
    if rng.random() < how.away:
        x, y = -0.06 - 0.05 * rng.random(), rng.uniform(0.25, 0.5)
        hand.target = complex(1 - x if hand.side else x, y)
        hand.stays = world.frames(1.4 + rng.random())
    else:
        goal = HOMES[hand.side] + complex(
            rng.normal(0, how.spread), rng.normal(0, 0.8 * how.spread)
        )
        low, high = REACH[hand.side]
        hand.target = complex(min(max(goal.real, low), high), min(max(goal.imag, 0.13), 0.46))
    hand.wrist_target = rng.uniform(-0.5, 0.5)
    hand.depth_target = rng.uniform(0.25, 0.9)
    if hand.side == world.needle.held:
        world.waypoints += 1
    else:
        hand.jaw_target = rng.uniform(0.08, 0.6)
