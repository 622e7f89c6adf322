//! All consumer groups, within the limits on what their clients can make them hold.

use std::collections::BTreeMap;
use std::time::Duration;

use kafka_protocol::error::ResponseError;

use super::Group;
use super::member::Member;
use crate::clock::Millis;
use crate::limits::Limits;

/// Kafka allows any length; here a name is held as long as its group is, so it is bounded.
const MAX_NAME: usize = 1_000;

/// The groups by name.
#[derive(Debug)]
pub(crate) struct Groups {
    by_name: BTreeMap<String, Group>,
    initial_delay: Duration,
    members_made: u64,
}

impl Groups {
    pub(crate) fn new(initial_delay: Duration) -> Self {
        Self { by_name: BTreeMap::new(), initial_delay, members_made: 0 }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Group> {
        self.by_name.get(name)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Group> {
        self.by_name.get_mut(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.by_name.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.by_name.values_mut()
    }

    /// The group of that name, made when it is not there.
    ///
    /// # Errors
    /// `INVALID_GROUP_ID` for an empty name or a very long one; `GROUP_MAX_SIZE_REACHED` at the limit on groups.
    pub(crate) fn get_or_create(&mut self, name: &str, limits: &Limits) -> Result<&mut Group, ResponseError> {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(ResponseError::InvalidGroupId);
        }
        if !self.by_name.contains_key(name) && self.by_name.len() >= limits.groups {
            self.by_name.retain(|_, group| !group.is_idle());
            if self.by_name.len() >= limits.groups {
                tracing::warn!(
                    limit = limits.groups,
                    "dev broker refuses a group: its limit on groups is reached"
                );
                return Err(ResponseError::GroupMaxSizeReached);
            }
        }
        let delay = self.initial_delay;
        Ok(self.by_name.entry(name.to_owned()).or_insert_with(|| Group::new(delay)))
    }

    /// Says whether there is room for one more member.
    ///
    /// # Errors
    /// `GROUP_MAX_SIZE_REACHED`.
    pub(crate) fn check_headcount(&self, limits: &Limits) -> Result<(), ResponseError> {
        let members: usize = self.by_name.values().map(Group::headcount).sum();
        if members < limits.members {
            return Ok(());
        }
        tracing::warn!(members, "dev broker refuses a group member: its limit on members is reached");
        Err(ResponseError::GroupMaxSizeReached)
    }

    /// Says whether there is room for metadata or assignments of this size.
    ///
    /// # Errors
    /// `GROUP_MAX_SIZE_REACHED`.
    pub(crate) fn check_bytes(&self, bytes: usize, limits: &Limits) -> Result<(), ResponseError> {
        let held = self.by_name.values().flat_map(|group| group.members().values()).map(Member::size);
        let held: usize = held.sum();
        if held.saturating_add(bytes) <= limits.member_bytes {
            return Ok(());
        }
        tracing::warn!(held, "dev broker refuses a group member: its limit on their metadata is reached");
        Err(ResponseError::GroupMaxSizeReached)
    }

    /// Says whether there is room for offsets of about this size.
    ///
    /// # Errors
    /// `POLICY_VIOLATION`.
    pub(crate) fn check_offset_room(&self, bytes: usize, limits: &Limits) -> Result<(), ResponseError> {
        let held: usize = self.by_name.values().map(|group| group.offsets.size_bytes()).sum();
        if held.saturating_add(bytes) <= limits.offset_bytes {
            return Ok(());
        }
        tracing::warn!(held, "dev broker refuses an offset commit: its limit on offsets is reached");
        Err(ResponseError::PolicyViolation)
    }

    /// A member id that no other member has.
    pub(crate) fn fresh_member_id(&mut self, client: &str, now: Millis) -> String {
        self.members_made += 1;
        let client = if client.is_empty() { "member" } else { client };
        format!("{client}-{:x}-{:x}", now.0, self.members_made)
    }

    /// Deletes a group and its offsets.
    ///
    /// # Errors
    /// `GROUP_ID_NOT_FOUND`, `NON_EMPTY_GROUP`.
    pub(crate) fn delete(&mut self, name: &str) -> Result<(), ResponseError> {
        let group = self.by_name.get(name).ok_or(ResponseError::GroupIdNotFound)?;
        if group.headcount() > 0 || group.offsets.has_pending() {
            return Err(ResponseError::NonEmptyGroup);
        }
        self.by_name.remove(name);
        Ok(())
    }

    pub(crate) fn tick(&mut self, now: Millis) {
        self.by_name.values_mut().for_each(|group| group.tick(now));
    }
}
