//! Carries out the orders of an operator, which come as records of the inbox.

use crate::event;
use crate::fault::{Code, Fault};
use crate::id::Offset;
use crate::io::Outcome;
use crate::record::{Chunk, RecordRef};
use crate::task::check::Checked;
use crate::task::order::Order;
use crate::task::repeat;
use crate::task::run::{Care, Condemned, Goal, Run};
use crate::task::state::layout::{Layout, Store};
use crate::task::{Surroundings, Task, Turn};

/// Why an order is not carried out.
enum Refusal {
    /// The order is to blame: it becomes a dead letter.
    Order(String),
    /// The state cannot be read.
    State(Fault),
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::State(fault)
    }
}

impl Task {
    /// Carries out orders: rows to repeat that follow one another in one call of the plugin, everything else at once.
    pub(super) fn obey(&mut self, run: Run, around: &Surroundings<'_>) -> Turn {
        let orders: Vec<_> = run.records.iter().map(|record| Order::read(record.value())).collect();
        let (now, rest) = match orders.first() {
            Some(Ok(first @ Order::RepeatRow { .. })) => {
                let count = orders.iter().take_while(|order| order.as_ref() == Ok(first)).count();
                cut(run, count)
            }
            _ => {
                let is_row = |order: &Result<Order, String>| matches!(order, Ok(Order::RepeatRow { .. }));
                let count = orders.iter().take_while(|order| !is_row(order)).count();
                cut(run, count)
            }
        };
        if let Some(rest) = rest {
            self.runs.push_front(rest);
        }
        match orders.into_iter().next() {
            Some(Ok(Order::RepeatRow { source })) => self.repeat_rows(now, &source, around),
            _ => self.obey_at_once(now, around),
        }
    }

    /// Turns orders into a run of the rows that they name.
    fn repeat_rows(&mut self, orders: Run, source: &str, around: &Surroundings<'_>) -> Turn {
        let layout = std::sync::Arc::clone(self.state.layout());
        let Some((table, index)) = repeat::table(&layout, source) else {
            return self.refuse_orders(orders, &no_table(source), around);
        };
        let (rows, mut behind) = match self.ordered_rows(&orders.records, table) {
            Ok(found) => found,
            Err(fault) => return self.broken(orders, fault),
        };
        let Some(last) = behind.last_mut() else { return self.end_orders(orders, around) };
        *last = orders.until;
        let mut run = Run::new((index, orders.partition), rows, orders.until);
        run.goal = Goal::Orders(behind);
        self.culprits.mark(&mut run);
        self.runs.push_front(run);
        Turn::Searching
    }

    /// The rows that orders name, and for each of them the position behind its order.
    fn ordered_rows(&self, orders: &Chunk, table: &Store) -> Result<(Chunk, Vec<Offset>), Fault> {
        let (mut rows, mut behind) = (Chunk::new(), Vec::new());
        for order in orders.iter() {
            let Some(key) = order.key() else { continue };
            if self.state.push_row(table, key, &mut rows)? {
                behind.push(order.offset().next());
            }
        }
        Ok((rows, behind))
    }

    fn obey_at_once(&mut self, mut orders: Run, around: &Surroundings<'_>) -> Turn {
        self.begin_call(around.now);
        match self.obey_each(&orders.records, around) {
            Ok(refused) => refused.into_iter().for_each(|condemned| orders.condemn(condemned)),
            Err(fault) => return self.broken(orders, fault),
        }
        self.end_orders_in_call(orders, around)
    }

    fn obey_each(&mut self, orders: &Chunk, around: &Surroundings<'_>) -> Result<Vec<Condemned>, Fault> {
        let mut refused = Vec::new();
        for (index, record) in (0..).zip(orders.iter()) {
            match self.obey_one(&record, around) {
                Ok(()) => {}
                Err(Refusal::Order(message)) => refused.push(condemned(index, message)),
                Err(Refusal::State(fault)) => return Err(fault),
            }
        }
        Ok(refused)
    }

    fn obey_one(&mut self, record: &RecordRef<'_>, around: &Surroundings<'_>) -> Result<(), Refusal> {
        let order = Order::read(record.value()).map_err(Refusal::Order)?;
        event::OrderTaken { task: &self.id, offset: record.offset(), order: &format!("{order:?}") }.emit();
        match &order {
            // These come in runs of their own.
            Order::RepeatRow { .. } => Ok(()),
            Order::RepeatAll { source } => {
                repeat::table(self.state.layout(), source).ok_or_else(|| Refusal::Order(no_table(source)))?;
                self.start_repeat(source, &order);
                Ok(())
            }
            Order::RepeatTerm { source, index, term } => {
                let layout = self.state.layout();
                let (table, _) =
                    repeat::table(layout, source).ok_or_else(|| Refusal::Order(no_table(source)))?;
                if !has_index(layout, table, index) {
                    return Err(Refusal::Order(format!("`{source}` has no index `{index}`")));
                }
                self.start_repeat(&format!("{source} {index}={term}"), &order);
                Ok(())
            }
            Order::CancelJob { kind, name } => {
                // It may have come to its end since, or never have run in this task.
                if self.state.job_row(&(kind.clone(), name.clone()))?.is_some() {
                    self.state.set_job((kind, name), None);
                }
                Ok(())
            }
            Order::RetryJob { kind, name } => {
                let name = (kind.clone(), name.clone());
                if let Some(mut row) = self.state.job_row(&name)?.filter(|row| row.failure.is_some()) {
                    row.failure = None;
                    self.state.set_job((&name.0, &name.1), Some(&row));
                    self.jobs.forgive(&name);
                    self.refused_jobs.remove(&name);
                }
                Ok(())
            }
            Order::RetryCallout { id } => Ok(self.retry_callout(id, around)?),
            Order::CloseCallout { id } => {
                self.state.close_callout(id);
                Ok(())
            }
            Order::CalloutAnswer { id, attempts, end } => {
                let ended = end.clone().ended();
                let ended = ended.ok_or_else(|| Refusal::Order("its body is not in base 64".to_owned()))?;
                Ok(self.answer_callout(id, (*attempts, ended), around)?)
            }
        }
    }

    fn refuse_orders(&mut self, mut orders: Run, message: &str, around: &Surroundings<'_>) -> Turn {
        let count = u32::try_from(orders.records.len()).unwrap_or(u32::MAX);
        (0..count).for_each(|index| orders.condemn(condemned(index, message.to_owned())));
        self.end_orders(orders, around)
    }

    fn end_orders(&mut self, orders: Run, around: &Surroundings<'_>) -> Turn {
        self.begin_call(around.now);
        self.end_orders_in_call(orders, around)
    }

    fn end_orders_in_call(&mut self, orders: Run, around: &Surroundings<'_>) -> Turn {
        let kept = orders.kept();
        self.finish((orders, kept), (Outcome::default(), Checked::default()), around)
    }
}

fn has_index(layout: &Layout, table: &Store, index: &str) -> bool {
    table.indexes.iter().any(|own| layout.indexes.get(*own).is_some_and(|own| own.name == index))
}

fn no_table(source: &str) -> String {
    format!("there is no table `{source}`, whose rows could be handed to the plugin again")
}

fn condemned(index: u32, message: String) -> Condemned {
    Condemned { index, code: Code::OrderInvalid.as_str().to_owned(), message }
}

/// The first records of a run, and the others.
fn cut(run: Run, count: usize) -> (Run, Option<Run>) {
    if count >= run.records.len() {
        return (run, None);
    }
    let [first, rest] = run.cut(count, Care::Ordinary);
    (first, Some(rest))
}
