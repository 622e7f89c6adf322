//! The circuit breaker of an endpoint: keeps calls back while its server cannot be reached.
//!
//! ```text
//!   closed ---- so many failures in a row ----> open ---- after a pause ----> half open
//!      ^                                         ^                             |    |
//!      |                                         +------ the probe fails ------+    |
//!      +----------------------------- an answer, whatever it says -----------------+
//! ```

use std::time::Duration;

/// So many failures in a row open the circuit. Fewer would let a server's restart hold up everything.
const FAILURES: u32 = 5;

/// The first pause of an open circuit. It doubles with each probe that fails.
const PAUSE: Duration = Duration::from_secs(1);

/// The longest pause: a server that is back is noticed after so long at most.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// The circuit of one endpoint. Times are those of [`crate::clock::Clock::elapsed`].
#[derive(Debug, Default)]
pub(super) struct Breaker {
    circuit: Circuit,
    /// How the last request failed.
    last: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Circuit {
    Closed { failures: u32 },
    Open { until: Duration, pause: Duration },
    HalfOpen { is_probed: bool, pause: Duration },
}

impl Default for Circuit {
    fn default() -> Self {
        Self::Closed { failures: 0 }
    }
}

/// What a request may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// Nothing is known against the server.
    Free,
    /// It finds out whether the server is back; nobody else may go meanwhile.
    Probe,
    /// The server cannot be reached.
    Refused,
}

/// Whether the circuit has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Change {
    /// It was closed, and is open now.
    Opened,
    /// It was open, and is closed now.
    Closed,
    /// Neither.
    None,
}

impl Breaker {
    /// Whether a request may be made now. What is admitted as a probe must end in one of the three functions below.
    pub(super) fn admit(&mut self, now: Duration) -> Admission {
        if let Circuit::Open { until, pause } = self.circuit
            && now >= until
        {
            self.circuit = Circuit::HalfOpen { is_probed: false, pause };
        }
        match &mut self.circuit {
            Circuit::Closed { .. } => Admission::Free,
            Circuit::HalfOpen { is_probed, .. } if !*is_probed => {
                *is_probed = true;
                Admission::Probe
            }
            Circuit::HalfOpen { .. } | Circuit::Open { .. } => Admission::Refused,
        }
    }

    /// The server has answered.
    pub(super) fn succeed(&mut self) -> Change {
        let before = std::mem::take(&mut self.circuit);
        self.last = None;
        if matches!(before, Circuit::Closed { .. }) { Change::None } else { Change::Closed }
    }

    /// The server could not be reached, or did not answer.
    pub(super) fn fail(&mut self, now: Duration, code: &str) -> Change {
        self.last = Some(code.to_owned());
        match self.circuit {
            Circuit::Closed { failures } if failures + 1 >= FAILURES => {
                self.circuit = Circuit::Open { until: now.saturating_add(PAUSE), pause: PAUSE };
                Change::Opened
            }
            Circuit::Closed { failures } => {
                self.circuit = Circuit::Closed { failures: failures + 1 };
                Change::None
            }
            Circuit::HalfOpen { pause, .. } => {
                let pause = pause.saturating_mul(2).min(PAUSE_MAX);
                self.circuit = Circuit::Open { until: now.saturating_add(pause), pause };
                Change::None
            }
            // Requests that were under way when it opened.
            Circuit::Open { .. } => Change::None,
        }
    }

    /// The probe came to nothing that says anything about the server: somebody else may probe.
    pub(super) fn give_back(&mut self) {
        if let Circuit::HalfOpen { is_probed, .. } = &mut self.circuit {
            *is_probed = false;
        }
    }

    /// How requests fail, while the circuit is not closed.
    pub(super) fn trouble(&self) -> Option<&str> {
        let is_closed = matches!(self.circuit, Circuit::Closed { .. });
        self.last.as_deref().filter(|_| !is_closed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn opened() -> Breaker {
        let mut breaker = Breaker::default();
        let changes: Vec<_> = (0..FAILURES).map(|_| breaker.fail(SECOND, "connection-refused")).collect();
        assert_eq!(changes.iter().position(|change| *change == Change::Opened), Some(4));
        breaker
    }

    #[test]
    fn opens_after_failures_in_a_row_and_not_after_others() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            for _ in 0..FAILURES - 1 {
                assert_eq!(breaker.fail(SECOND, "timeout"), Change::None);
            }
            assert_eq!(breaker.succeed(), Change::None);
        }
        assert_eq!((breaker.admit(SECOND), breaker.trouble()), (Admission::Free, None));

        let mut breaker = opened();
        assert_eq!(breaker.admit(SECOND), Admission::Refused);
        assert_eq!(breaker.trouble(), Some("connection-refused"));
    }

    #[test]
    fn lets_one_request_find_out_whether_the_server_is_back() {
        let mut breaker = opened();

        assert_eq!(breaker.admit(2 * SECOND), Admission::Probe);
        assert_eq!(breaker.admit(2 * SECOND), Admission::Refused);
        breaker.give_back();
        assert_eq!(breaker.admit(2 * SECOND), Admission::Probe);
        assert_eq!(breaker.succeed(), Change::Closed);
        assert_eq!((breaker.admit(2 * SECOND), breaker.trouble()), (Admission::Free, None));
    }

    #[test]
    fn waits_longer_after_each_probe_that_fails() {
        let mut breaker = opened();
        let mut now = SECOND;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            let pause = Duration::from_secs(pause);
            assert_eq!(
                breaker.admit(now + pause - Duration::from_millis(1)),
                Admission::Refused,
                "{pause:?}"
            );
            now += pause;
            assert_eq!(breaker.admit(now), Admission::Probe, "{pause:?}");
            assert_eq!(breaker.fail(now, "timeout"), Change::None);
        }
    }
}
