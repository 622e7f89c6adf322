//! Callouts, as orders of the inbox change them.

use crate::event;
use crate::fault::Fault;
use crate::io::{Answer, Ended};
use crate::task::callouts::open::Where;
use crate::task::state::callout::{CalloutRow, Stage};
use crate::task::{Surroundings, Task};

impl Task {
    /// Makes a callout again that a person had to look at, as part of the call: a new one, under a new id.
    pub(in crate::task) fn retry_callout(
        &mut self,
        id: &str,
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        let Some(row) = self.state.callout_in_review(id)? else { return Ok(()) };
        self.load_callouts(around)?;
        let number = self.state.next_number();
        let new_id = retry_id(id, number);
        event::CalloutRetried { task: &self.id, id, new_id: &new_id }.emit();
        self.state.close_callout(id);
        let row = CalloutRow {
            number,
            stage: Stage::Queued,
            attempts: 0,
            intended: around.now,
            retry_of: Some(id.to_owned()),
            ..row
        };
        self.begin_callout(new_id, row, around);
        Ok(())
    }

    /// Takes an answer in that came through the inbox, as part of the call. It is kept in the state until the plugin was told,
    /// because the inbox moves on.
    pub(in crate::task) fn answer_callout(
        &mut self,
        id: &str,
        (attempts, ended): (u32, Ended),
        around: &Surroundings<'_>,
    ) -> Result<(), Fault> {
        self.load_callouts(around)?;
        let is_handed = self.callouts.handed.contains(id) || self.callouts.carried.contains(id);
        let known = self.callouts.answers.get(id).cloned();
        let entry = self.callouts.entry(id).filter(|_| !is_handed);
        // Queued, it is to be sent again, and an answer makes that needless. Leaving or under way here, it gets another answer.
        // Answered here, this is the answer, met again after an abort.
        let entry = entry.filter(|entry| match entry.place {
            Where::Left | Where::Queued => true,
            Where::Away => known.is_some(),
            Where::Leaving(_) => false,
        });
        let Some(entry) = entry else {
            event::AnswerIgnored { task: &self.id, id }.emit();
            return Ok(());
        };
        let Answer { ended, attempts, .. } = known.unwrap_or(Answer { id: id.to_owned(), ended, attempts });
        entry.row.attempts = attempts;
        (entry.row.stage, entry.place) = match &ended {
            Ended::NotSent => (Stage::Queued, Where::Queued),
            ended => (Stage::Ended(ended.clone()), Where::Away),
        };
        let row = entry.row.clone();
        if ended != Ended::NotSent {
            self.callouts.answers.insert(id.to_owned(), Answer { id: id.to_owned(), ended, attempts });
        }
        self.callouts.left.remove(id);
        self.state.set_callout(id, &row);
        Ok(())
    }
}

/// The id of a callout that is made again: the number of its intent tells it from all others.
fn retry_id(id: &str, number: u64) -> String {
    let first = id.split_once("~retry-").map_or(id, |(first, _)| first);
    format!("{first}~retry-{number}")
}
