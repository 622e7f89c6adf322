//! Those of the demo who look at everything that comes out, for the checks at the end.

use std::time::Duration;

use super::observer::Observer;
use super::place::Place;
use crate::clock::Clock;
use crate::fault::Fault;

/// How long the busiest topic is waited for, each time around.
const LOOK: Duration = Duration::from_millis(10);

/// An observer for each topic that something comes out of.
pub(super) struct Eyes {
    /// The classes, as the ingest publishes them.
    pub(super) classes: Observer,
    /// The enriched items.
    pub(super) enriched: Observer,
    /// Updates that are no items.
    pub(super) letters: Observer,
    /// What option 2 puts out, where it runs.
    pub(super) second: Option<Second>,
    /// What activation has sent.
    pub(super) notifications: Observer,
    /// What activation has given up.
    pub(super) expired: Observer,
    /// What the external service has answered.
    pub(super) details: Observer,
    /// Callouts that somebody has to look at.
    pub(super) review: Observer,
    /// Callouts that were answered with an error.
    pub(super) refused: Observer,
}

/// The topics of option 2.
pub(super) struct Second {
    /// The enriched items.
    pub(super) enriched: Observer,
    /// Updates that are no items.
    pub(super) letters: Observer,
}

impl Eyes {
    /// Begins to read.
    ///
    /// # Errors
    /// `topic_missing`, `kafka_failed`.
    pub(super) fn open(place: &Place, clock: &Clock, is_side_by_side: bool) -> Result<Self, Fault> {
        let own = |name| Observer::open(&place.kafka, place.names.topic(name), clock);
        let internal = |name| Observer::open(&place.kafka, place.names.internal(name), clock);
        let second = || {
            let letters = internal("delivery-time-2.dead-letters")?;
            Ok::<_, Fault>(Second { enriched: own("items-enriched-2")?, letters })
        };
        Ok(Self {
            classes: own("delivery-classes")?,
            enriched: own("items-enriched")?,
            letters: internal("delivery-time.dead-letters")?,
            second: is_side_by_side.then(second).transpose()?,
            notifications: own("activation-notifications")?,
            expired: own("activations-expired")?,
            details: own("product-details")?,
            review: internal("rest-lookup.callouts-review")?,
            refused: internal("rest-lookup.dead-letters")?,
        })
    }

    /// Takes what is there.
    ///
    /// # Errors
    /// `kafka_failed`.
    pub(super) fn look(&mut self) -> Result<(), Fault> {
        self.enriched.look(LOOK)?;
        let second = self.second.iter_mut().flat_map(|second| [&mut second.enriched, &mut second.letters]);
        let others = [
            &mut self.classes,
            &mut self.letters,
            &mut self.notifications,
            &mut self.expired,
            &mut self.details,
            &mut self.review,
            &mut self.refused,
        ];
        others.into_iter().chain(second).try_for_each(|observer| observer.look(Duration::ZERO))
    }

    /// How many records have come out of all topics.
    pub(super) fn count(&self) -> usize {
        let second = self.second.iter().flat_map(|second| [&second.enriched, &second.letters]);
        let all = [&self.classes, &self.enriched, &self.letters, &self.notifications, &self.expired];
        all.into_iter().chain(second).map(Observer::count).sum::<usize>() + self.outcomes()
    }

    /// How many item updates have come out, as records or as dead letters.
    pub(super) fn items(&self) -> usize {
        self.enriched.count() + self.letters.count()
    }

    /// How many callouts have ended.
    pub(super) fn outcomes(&self) -> usize {
        self.details.count() + self.review.count() + self.refused.count()
    }

    /// Counts the enriched records whose values end like this, in each option.
    pub(super) fn count_marked(&mut self, mark: &[u8]) {
        self.enriched.count_marked(mark.to_vec());
        if let Some(second) = &mut self.second {
            second.enriched.count_marked(mark.to_vec());
        }
    }

    /// How many of those there are, in the option that has the fewest.
    pub(super) fn marked(&self) -> usize {
        let second = self.second.as_ref().map_or(usize::MAX, |second| second.enriched.marked());
        self.enriched.marked().min(second)
    }
}
