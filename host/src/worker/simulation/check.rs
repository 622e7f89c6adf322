//! What must be true of the topics, folded from every record of them: a model that shares nothing with the host.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::TopicName;
use crate::memory::{Content, Stored};
use crate::worker::simulation::plugin::Kind;
use crate::worker::simulation::world::{GROUP, Ordered, World};

/// What came of a record: how many outputs, and the codes of its dead letters.
type Traces = BTreeMap<u64, (usize, Vec<String>)>;

/// Whether an output is none of a new record.
fn is_extra(output: &str) -> bool {
    output.ends_with("|walk") || output.ends_with("|again")
}

impl World {
    /// The committed outputs and dead letters are exactly those of the records below the committed positions.
    pub(super) fn check_fate(&self) -> Result<(), String> {
        let mut traces = self.traces()?;
        for ((place, offset), (kind, number)) in &*self.produced.borrow() {
            let committed = self.cluster.committed(GROUP, place).map(|committed| committed.position);
            let is_done = committed.is_some_and(|position| *offset < position);
            let found = traces.remove(number).unwrap_or_default();
            let expected = match kind.expected() {
                _ if !is_done => (0, vec![]),
                Ok(outputs) => (outputs, vec![]),
                Err(code) => (0, vec![code.to_owned()]),
            };
            if found != expected {
                return Err(format!(
                    "record {number} ({kind:?}) at {place}@{offset}, committed up to {committed:?}: \
                     expected {expected:?}, found {found:?}"
                ));
            }
        }
        match traces.into_iter().next() {
            None => Ok(()),
            Some((number, found)) => Err(format!("{found:?} of record {number}, which nobody can see")),
        }
    }

    fn traces(&self) -> Result<Traces, String> {
        let mut traces = Traces::new();
        for (_, value) in self.visible("enriched") {
            if is_extra(&value) {
                continue;
            }
            let number = value.split('|').next().and_then(|number| number.parse().ok());
            traces.entry(number.ok_or("an output without a number")?).or_default().0 += 1;
        }
        for (headers, value) in self.dead_letters() {
            let of = headers.get("gristmill-source-topic").map(String::as_str);
            if of.is_some_and(|topic| topic != "classes") {
                let number = value.split('|').nth(2).and_then(|number| number.parse().ok());
                let code = headers.get("gristmill-error-code").cloned().unwrap_or_default();
                traces.entry(number.ok_or("a dead letter that was changed")?).or_default().1.push(code);
            }
        }
        Ok(traces)
    }

    /// Outputs of a key come in source order, and its classes never go back.
    pub(super) fn check_order(&self) -> Result<(), String> {
        let mut last: BTreeMap<String, u64> = BTreeMap::new();
        let mut classes: BTreeMap<(String, String), u64> = BTreeMap::new();
        for (key, value) in self.visible("enriched") {
            let parts: Vec<_> = value.split('|').collect();
            let number: u64 = parts[0].parse().map_err(|_| "an output without a number")?;
            let before = last.insert(key.clone(), number).unwrap_or(0);
            if before > number {
                return Err(format!("output {number} of `{key}` comes after {before}"));
            }
            let version = self
                .version(parts[1], parts[2])
                .map_err(|e| format!("{e} in output {number} of {key}; {:?}", self.classes.borrow()))?;
            let before = classes.insert((key.clone(), parts[1].to_owned()), version).unwrap_or(0);
            if before > version {
                return Err(format!(
                    "the class of `{key}` goes back from {before} to {version} in output {number}"
                ));
            }
        }
        Ok(())
    }

    /// Where the value that an output was joined with stands in the topic, counted from 1; 0 for no class.
    fn version(&self, class: &str, joined: &str) -> Result<u64, String> {
        let classes = self.classes.borrow();
        let position = classes.iter().position(|(key, value, _)| key == class && value == joined);
        match (position, joined) {
            (Some(position), _) => Ok(position as u64 + 1),
            (None, "-") if classes.iter().any(|(key, _, offset)| key == class && offset.0 < 3) => {
                Err(format!("class `{class}`, which was there before the start, was missing"))
            }
            (None, "-") => Ok(0),
            (None, _) => Err(format!("joined with `{joined}`, which class `{class}` never was")),
        }
    }

    /// A bad class is dead-lettered once, by one task, and only a replaced one may have been missed.
    pub(super) fn check_bad_classes(&self) -> Result<(), String> {
        let letters: Vec<_> = self
            .dead_letters()
            .into_iter()
            .filter(|(headers, _)| {
                headers.get("gristmill-source-topic").map(String::as_str) == Some("classes")
            })
            .map(|(_, value)| value)
            .collect();
        let classes = self.classes.borrow();
        for (key, value, offset) in classes.iter().filter(|(_, value, _)| value.starts_with("bad")) {
            let found = letters.iter().filter(|letter| *letter == value).count();
            let is_last = !classes.iter().any(|(other, _, later)| other == key && later > offset);
            if found > 1 || (is_last && found == 0) {
                return Err(format!("bad class `{key}` at {offset} has {found} dead letters"));
            }
        }
        Ok(())
    }

    /// The last output of every key is the join of its last item with the last class.
    pub(super) fn check_joins(&self, numbers: &[(u64, u64)]) -> Result<(), String> {
        let outputs = self.visible("enriched");
        for (number, class) in numbers {
            let class = format!("c{class}");
            let classes = self.classes.borrow();
            let last =
                classes.iter().rev().find(|(key, _, _)| *key == class).map_or("-", |(_, value, _)| value);
            let expected = format!("{number}|{class}|{last}|");
            if !outputs.iter().any(|(_, value)| value.starts_with(&expected)) {
                let found = outputs.iter().find(|(_, value)| value.starts_with(&format!("{number}|")));
                return Err(format!("expected the join `{expected}`, found {found:?}"));
            }
        }
        Ok(())
    }

    /// Every record was counted once, in order: state shares the fate of outputs.
    pub(super) fn check_counts(&self) -> Result<(), String> {
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        let mut counted: BTreeMap<u64, u64> = BTreeMap::new();
        for ((place, offset), (kind, number)) in &*self.produced.borrow() {
            if kind.expected().is_ok() {
                let key = self.keys.borrow().get(&(place.clone(), *offset)).cloned().unwrap_or_default();
                let count = counts.entry(key).or_default();
                *count += 1;
                counted.insert(*number, *count);
            }
        }
        for (key, value) in self.visible("enriched") {
            let parts: Vec<_> = value.split('|').collect();
            let number = parts[0].parse().map_err(|_| "an output without a number")?;
            let expected = counted.get(&number).copied().unwrap_or_default().to_string();
            if !is_extra(&value) && parts[3] != expected {
                return Err(format!(
                    "record {number} of `{key}` was counted as {} and is {expected}",
                    parts[3]
                ));
            }
        }
        Ok(())
    }

    /// The last output of every item is its join with the last class, whatever changed last.
    pub(super) fn check_convergence(&self) -> Result<(), String> {
        let mut outputs: BTreeMap<String, String> = BTreeMap::new();
        outputs.extend(self.visible("enriched"));
        let mut items: BTreeMap<String, (Kind, String)> = BTreeMap::new();
        for place in self.cluster.partitions(&"items".into()) {
            for stored in self.cluster.stored(&place).into_iter().filter(Stored::is_visible) {
                let Content::Record { key, value, .. } = stored.content else { continue };
                let text = |bytes: Option<Vec<u8>>| String::from_utf8(bytes.unwrap_or_default()).unwrap();
                let (key, value) = (text(key), text(value));
                let parts: Vec<_> = value.split('|').collect();
                items.insert(key, (Kind::of(parts[0]), format!("{}|{}", parts[2], parts[1])));
            }
        }
        let classes = self.classes.borrow();
        for (key, (kind, item)) in items {
            let class = item.split('|').nth(1).unwrap_or_default();
            let last = classes.iter().rfind(|(name, _, _)| name == class).map_or("-", |(_, value, _)| value);
            if !matches!(kind, Kind::Plain | Kind::Double | Kind::Causeless) || last.starts_with("bad") {
                continue;
            }
            let (expected, found) = (format!("{item}|{last}|"), outputs.get(&key));
            if !found.is_some_and(|found| found.starts_with(&expected)) {
                return Err(format!(
                    "the last output of `{key}` should be `{expected}`, it is {found:?} (I3)"
                ));
            }
        }
        Ok(())
    }

    /// Whether some output begins like this.
    pub(super) fn has_output(&self, start: &str) -> bool {
        self.visible("enriched").iter().any(|(_, value)| value.starts_with(start))
    }

    /// Rows were handed out again as often as that was ordered. An order for all rows that another one followed may have met a
    /// row or not. Calm is a schedule in which every row is sent.
    pub(super) fn check_orders(&self, is_calm: bool) -> Result<(), String> {
        let mut found: BTreeMap<String, usize> = BTreeMap::new();
        for (key, _) in self.visible("enriched").into_iter().filter(|(_, value)| value.ends_with("|again")) {
            *found.entry(key).or_default() += 1;
        }
        let orders = self.orders.borrow();
        let keys: BTreeSet<_> = self.keys.borrow().values().cloned().collect();
        for key in keys.into_iter().filter(|key| key.starts_with("items")) {
            let of_key = orders.iter().filter(|(_, order)| order.key.as_ref() == Some(&key));
            let of_all = orders.iter().filter(|(partition, order)| {
                order.key.is_none() && key.starts_with(&format!("items-{partition}-"))
            });
            let most = of_key.clone().count() + of_all.clone().count();
            let certain = |(_, order): &&(_, Ordered)| order.known.contains(&key);
            let least = of_key.filter(certain).count() + usize::from(of_all.filter(certain).count() > 0);
            let found = found.remove(&key).unwrap_or_default();
            if found > most || is_calm && found < least {
                return Err(format!("`{key}` was repeated {found} times, not {least} to {most}"));
            }
        }
        Ok(())
    }

    /// The keys that walks have sent, in order.
    pub(super) fn walked(&self) -> Vec<String> {
        let outputs = self.visible("enriched").into_iter();
        outputs.filter(|(_, value)| value.ends_with("|walk")).map(|(key, _)| key).collect()
    }

    /// Nothing is left open, and the commit path kept to the order of calls.
    pub(super) fn check_rest(&self) -> Result<(), String> {
        for topic in ["enriched", "dead", "notes", "review"] {
            for place in self.cluster.partitions(&topic.into()) {
                let (stable_end, end) = self.cluster.ends(&place);
                if stable_end != end {
                    return Err(format!("a transaction hangs in {place} (I9): {stable_end} of {end}"));
                }
            }
        }
        match self.cluster.misuse().first() {
            None => Ok(()),
            Some(misuse) => Err(misuse.clone()),
        }
    }

    /// Keys and values that a reader of committed records sees.
    pub(super) fn visible(&self, topic: &str) -> Vec<(String, String)> {
        let text = |bytes: &Option<Vec<u8>>| String::from_utf8(bytes.clone().unwrap_or_default()).unwrap();
        let records = self.stored(topic).into_iter().filter_map(|stored| match stored.content {
            Content::Record { key, value, .. } => Some((text(&key), text(&value))),
            Content::Marker => None,
        });
        records.collect()
    }

    /// Headers and values of the dead letters.
    pub(super) fn dead_letters(&self) -> Vec<(BTreeMap<String, String>, String)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let letters = self.stored("dead").into_iter().filter_map(|stored| match stored.content {
            Content::Record { value, headers, .. } => {
                let headers =
                    headers.into_iter().map(|(name, value)| (text(name), text(value.unwrap_or_default())));
                Some((headers.collect(), text(value.unwrap_or_default())))
            }
            Content::Marker => None,
        });
        letters.collect()
    }

    /// Keys and headers of dead letters or review records.
    pub(super) fn letters(&self, topic: &str) -> Vec<(String, BTreeMap<String, String>)> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let letters = self.stored(topic).into_iter().filter_map(|stored| match stored.content {
            Content::Record { key, headers, .. } => {
                let headers =
                    headers.into_iter().map(|(name, value)| (text(name), text(value.unwrap_or_default())));
                Some((text(key.unwrap_or_default()), headers.collect()))
            }
            Content::Marker => None,
        });
        letters.collect()
    }

    fn stored(&self, topic: &str) -> Vec<Stored> {
        let places = self.cluster.partitions(&TopicName::new(topic));
        let stored = places.iter().flat_map(|place| self.cluster.stored(place));
        stored.filter(Stored::is_visible).collect()
    }
}
