//! What is seen of sources before the first record.

use crate::fault::Fault;

/// No sample of the sources could be taken, for a reason that may pass; nobody knows whether their keys lie right.
#[derive(Debug)]
pub struct KeysUnchecked<'a> {
    /// Why.
    pub fault: &'a Fault,
}

impl KeysUnchecked<'_> {
    /// Logs it.
    pub fn emit(self) {
        let code = self.fault.code().as_str();
        tracing::warn!(code, "did not look at the keys of sources before the start: {}", self.fault.line());
    }
}
