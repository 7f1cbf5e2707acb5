"""Games of hidden information as one line: what the player to move knows, and nothing else."""

from __future__ import annotations

from typing import Any

from orbiter_openspiel.notation import Notation

_CARDS = "JQKA"


class KuhnNotation(Notation):
    """``kuhn Q pb:`` -> ``b``: own card, then the bets so far; p is pass or fold, b is bet or call."""

    prefix, chars = "kuhn", ": AJKQbhknpu"
    rules = (
        "Kuhn poker. The prompt is your card (J < Q < K), then the moves so far: p pass or fold, b bet or call. "
        "Answer with p or b alone."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        known = state.information_state_string()
        return f"{_CARDS[int(known[0])]} {known[1:]}".rstrip()

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return "pb"[action]


class LeducNotation(Notation):
    """``leduc Q cr:`` and ``leduc Q crc K r:`` -> ``c``: own card, first round, public card, second round."""

    prefix, chars = "leduc", ": JKQcdeflru"
    rules = (
        "Leduc poker. The prompt is your card (J < Q < K; a pair with the public card beats any), the moves of round "
        "one, then the public card and the moves of round two: f fold, c call or check, r raise. Answer with f, c or r alone."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        # '[Observer: 0][Private: 1][Round 2][Player: 0][Pot: 10][Money: 95 95][Public: 0][Round1: 1 2][Round2: ]'
        known = {}
        for part in state.information_state_string()[1:-1].split("]["):
            name, _, value = part.partition(":")
            known[name] = value.strip()
        text = f"{_CARDS[int(known['Private'])]} {self._bets(known['Round1'])}"
        if "Public" in known:
            text += f" {_CARDS[int(known['Public'])]} {self._bets(known['Round2'])}"
        return text.rstrip()

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return "fcr"[action]

    @staticmethod
    def _bets(actions: str) -> str:
        return "".join("fcr"[int(a)] for a in actions.split())


class LiarsDiceNotation(Notation):
    """``dice 4 1-6 2-3:`` -> ``2-4`` or ``liar``: own dice, then the bids so far."""

    prefix, chars = "dice", "".join(sorted("0123456789- :dicelar"))
    rules = (
        "Liar's dice. The prompt is your dice, then the bids in turn: 2-3 claims that among all dice at least two show a 3; the "
        "highest face counts as any. Answer with a higher bid (more dice, or as many of a higher face), or with liar, to call the last bid."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        return str(state.information_state_string()).lower()

    def move(self, state: Any, action: int) -> str:
        """Return the text of an action."""
        return str(state.action_to_string(state.current_player(), action)).lower()


class GoofspielNotation(Notation):
    """``goof p0 cards 4 3 bid 1 won 1 hand 2 3 4:`` -> ``3``: seat, prizes so far, own bids, who won them, own hand."""

    prefix = "goof"
    chars = "".join(sorted(set("0123456789= :goofpcardsbidwonhandtheirs")))
    rules = (
        "Goofspiel: both bid a card of their hand for the prize shown last, unseen; the higher bid wins it, equal bids nobody. The "
        "prompt is your seat (p0 or p1), the prizes so far, your bids, the seat that won each ('=' for none), and your hand; "
        "'theirs' is the other's hand where it is known. Answer with a card of your hand alone."
    )

    def view(self, state: Any) -> str:
        """Return what the player to move may know."""
        me = state.current_player()
        known = {}
        for line in state.information_state_string().splitlines():
            name, _, value = line.partition(":")
            known[name] = value.split()
        bids = [str(int(action) + 1) for action in known.get(f"P{me} action sequence", ())]
        won = ["=" if int(seat) < 0 else seat for seat in known["Win sequence"]]
        parts = [f"p{me}", "cards", *known["Point card sequence"]]
        parts += ["bid", *bids, "won", *won, "hand", *known[f"P{me} hand"]]
        if f"P{1 - me} hand" in known:
            parts += ["theirs", *known[f"P{1 - me} hand"]]
        return " ".join(parts)

    def move(self, state: Any, action: int) -> str:  # noqa: ARG002
        """Return the text of an action."""
        return str(action + 1)
