//! Which handlers a plugin exports beside the processor.

use crate::Context;
use crate::Declared;
use crate::Failure;
use crate::Index;
use crate::IndexName;
use crate::Job;
use crate::Jobs;
use crate::Plugin;
use crate::Row;
use crate::Step;
use crate::Terms;

/// A plugin whose handlers are listed: what [`export!`](crate::export) and
/// [`handlers!`](macro@crate::handlers) make of it.
pub trait Exported: Plugin {
    #[doc(hidden)]
    const HANDLERS: Handlers<Self>;
}

/// The handlers of a plugin, as far as it has them.
#[doc(hidden)]
pub struct Handlers<P> {
    pub(crate) terms: Option<TermsOf<P>>,
    pub(crate) step: Option<StepOf<P>>,
}

type TermsOf<P> = fn(&P, IndexName<'_>, &Row<'_>, &mut Terms);
type StepOf<P> = fn(&mut P, &Job<'_>, &mut Context<'_>) -> Result<Step, Failure>;

impl<P: Plugin> Handlers<P> {
    /// The processor alone.
    #[must_use]
    pub const fn processor() -> Self {
        Self { terms: None, step: None }
    }

    /// And that of indexes.
    #[must_use]
    pub const fn with_index(self) -> Self
    where
        P: Index,
    {
        Self { terms: Some(P::terms), step: self.step }
    }

    /// And that of jobs.
    #[must_use]
    pub const fn with_jobs(self) -> Self
    where
        P: Jobs,
    {
        Self { terms: self.terms, step: Some(P::step) }
    }

    /// Stops the compiler when the manifest declares something that nothing handles.
    pub const fn check(&self, declared: &Declared) {
        assert!(
            self.terms.is_some() || !declared.indexes,
            "the manifest declares an index: implement `gristmill::Index`, and write `export!(MyPlugin: Index)`"
        );
        assert!(
            self.step.is_some() || !declared.jobs,
            "the manifest declares a job: implement `gristmill::Jobs`, and write `export!(MyPlugin: Jobs)`"
        );
    }
}

/// Lists the handlers of a plugin that is not exported: `gristmill::handlers!(Upper: Index, Jobs);`. For the
/// plugins of tests; [`export!`](crate::export) does it too.
#[macro_export]
macro_rules! handlers {
    ($plugin:ty $(: $($handler:ident),+)?) => {
        impl $crate::Exported for $plugin {
            const HANDLERS: $crate::Handlers<Self> =
                $crate::handlers!(@with $crate::Handlers::processor() $(, $($handler),+)?);
        }
    };
    (@with $handlers:expr) => { $handlers };
    (@with $handlers:expr, Index $(, $rest:ident)*) => {
        $crate::handlers!(@with $handlers.with_index() $(, $rest)*)
    };
    (@with $handlers:expr, Jobs $(, $rest:ident)*) => {
        $crate::handlers!(@with $handlers.with_jobs() $(, $rest)*)
    };
    (@with $handlers:expr, $unknown:ident $(, $rest:ident)*) => {
        compile_error!("the handlers that a plugin can export are `Index` and `Jobs`")
    };
}
