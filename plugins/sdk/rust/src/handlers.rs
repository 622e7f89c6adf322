//! Which handlers a plugin exports beside the processor.

use crate::Callouts;
use crate::Context;
use crate::Declared;
use crate::Failure;
use crate::Index;
use crate::IndexName;
use crate::Job;
use crate::Jobs;
use crate::Plugin;
use crate::Reject;
use crate::Response;
use crate::Row;
use crate::Step;
use crate::Terms;
use crate::Timer;
use crate::Timers;

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
    pub(crate) timer: Option<TimerOf<P>>,
    pub(crate) step: Option<StepOf<P>>,
    pub(crate) response: Option<ResponseOf<P>>,
}

type TermsOf<P> = fn(&P, IndexName<'_>, &Row<'_>, &mut Terms);
type TimerOf<P> = fn(&mut P, &Timer<'_>, &mut Context<'_>) -> Result<(), Reject>;
type StepOf<P> = fn(&mut P, &Job<'_>, &mut Context<'_>) -> Result<Step, Failure>;
type ResponseOf<P> = fn(&mut P, &Response<'_>, &mut Context<'_>) -> Result<(), Reject>;

impl<P: Plugin> Handlers<P> {
    /// The processor alone.
    #[must_use]
    pub const fn processor() -> Self {
        Self { terms: None, timer: None, step: None, response: None }
    }

    /// And that of indexes.
    #[must_use]
    pub const fn with_index(mut self) -> Self
    where
        P: Index,
    {
        self.terms = Some(P::terms);
        self
    }

    /// And that of timers.
    #[must_use]
    pub const fn with_timers(mut self) -> Self
    where
        P: Timers,
    {
        self.timer = Some(P::timer);
        self
    }

    /// And that of jobs.
    #[must_use]
    pub const fn with_jobs(mut self) -> Self
    where
        P: Jobs,
    {
        self.step = Some(P::step);
        self
    }

    /// And that of callouts.
    #[must_use]
    pub const fn with_callouts(mut self) -> Self
    where
        P: Callouts,
    {
        self.response = Some(P::response);
        self
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
        assert!(
            self.response.is_some() || !declared.endpoints,
            "the manifest declares an endpoint: implement `gristmill::Callouts`, and write \
             `export!(MyPlugin: Callouts)`"
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
    (@with $handlers:expr, Timers $(, $rest:ident)*) => {
        $crate::handlers!(@with $handlers.with_timers() $(, $rest)*)
    };
    (@with $handlers:expr, Callouts $(, $rest:ident)*) => {
        $crate::handlers!(@with $handlers.with_callouts() $(, $rest)*)
    };
    (@with $handlers:expr, Jobs $(, $rest:ident)*) => {
        $crate::handlers!(@with $handlers.with_jobs() $(, $rest)*)
    };
    (@with $handlers:expr, $unknown:ident $(, $rest:ident)*) => {
        compile_error!("the handlers that a plugin can export are `Index`, `Timers`, `Jobs` and `Callouts`")
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NoConfig;
    use crate::Record;
    use crate::Source;

    struct Bare;

    impl Plugin for Bare {
        type Config = NoConfig;

        fn new(_config: NoConfig) -> Result<Self, String> {
            Ok(Self)
        }

        fn record(&mut self, _: Source, _: &Record<'_>, _: &mut Context<'_>) -> Result<(), Reject> {
            Ok(())
        }
    }

    impl Callouts for Bare {
        fn response(&mut self, _: &Response<'_>, _: &mut Context<'_>) -> Result<(), Reject> {
            Ok(())
        }
    }

    const ENDPOINT: Declared = Declared { sources: &[], indexes: false, jobs: false, endpoints: true };

    #[test]
    fn is_content_with_a_handler_for_what_is_declared() {
        Handlers::<Bare>::processor().with_callouts().check(&ENDPOINT);
        Handlers::<Bare>::processor().check(&Declared { endpoints: false, ..ENDPOINT });
    }

    #[test]
    #[should_panic(expected = "declares an endpoint: implement `gristmill::Callouts`")]
    fn misses_the_handler_of_an_endpoint() {
        Handlers::<Bare>::processor().check(&ENDPOINT);
    }
}
