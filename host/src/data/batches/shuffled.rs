//! Drawing without replacement: a deck of numbers that is shuffled anew whenever all are drawn.

use rand::Rng;
use rand::seq::SliceRandom;

/// A deck: its cards, and those that were not drawn yet since it was shuffled.
pub(super) struct Deck {
    cards: Vec<usize>,
    left: Vec<usize>,
}

impl Deck {
    pub(super) fn new(cards: Vec<usize>) -> Self {
        Self { cards, left: Vec::new() }
    }

    /// `count` different cards, at most as many as the deck has. If the deck runs out on the way, the cards of this
    /// hand stay in the new round for the next hands.
    pub(super) fn deal(&mut self, count: usize, random: &mut impl Rng) -> Vec<usize> {
        let mut hand = Vec::with_capacity(count);
        while hand.len() < count {
            if self.left.is_empty() {
                self.left.clone_from(&self.cards);
                self.left.shuffle(random);
            }
            let Some(place) = self.left.iter().rposition(|card| !hand.contains(card)) else { break };
            hand.push(self.left.remove(place));
        }
        hand
    }

    /// `count` cards; if the deck has fewer, all of them as often as it takes.
    pub(super) fn deal_again(&mut self, count: usize, random: &mut impl Rng) -> Vec<usize> {
        let mut hand = Vec::with_capacity(count);
        while hand.len() < count {
            let mut more = self.deal(count - hand.len(), random);
            if more.is_empty() {
                break;
            }
            hand.append(&mut more);
        }
        hand
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lossmith_plugin::random_streams::{Purpose, generator};

    #[test]
    fn a_small_deck_is_dealt_again_and_evenly() {
        let mut random = generator(1, Purpose::Sampler, 0, 0);
        let mut deck = Deck::new(vec![3, 5, 8]);
        for _ in 0..20 {
            let hand = deck.deal_again(7, &mut random);
            let often = [3, 5, 8].map(|card| hand.iter().filter(|dealt| **dealt == card).count());
            assert!(hand.len() == 7 && often.iter().all(|count| [2, 3].contains(count)), "{hand:?}");
        }
        assert_eq!(deck.deal(7, &mut random).len(), 3);
        assert!(Deck::new(Vec::new()).deal_again(2, &mut random).is_empty());
    }

    #[test]
    fn a_large_deck_is_dealt_as_ever() {
        let hands = |again: bool| {
            let mut random = generator(1, Purpose::Sampler, 0, 0);
            let mut deck = Deck::new((0..10).collect());
            let mut hand = || if again { deck.deal_again(4, &mut random) } else { deck.deal(4, &mut random) };
            (0..50).map(|_| hand()).collect::<Vec<_>>()
        };
        assert_eq!(hands(true), hands(false));
    }
}
