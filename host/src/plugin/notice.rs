//! What a plugin is told that is no record, in the shapes of the interface: timers that are due, and what became of callouts.

use crate::fault::{Code, Fault};
use crate::io::{CallError, CalloutMode, Ended, Reason, Response, Timer, TimerClock};
use crate::plugin::bindings::v0_1::exports::gristmill::transform::callout_handler;
use crate::plugin::bindings::v0_1::gristmill::transform::timers;

/// The timers as the guest gets them.
pub(crate) fn timers(due: &[Timer]) -> Vec<timers::TimerParam<'_>> {
    due.iter().map(timer).collect()
}

fn timer(timer: &Timer) -> timers::TimerParam<'_> {
    timers::TimerParam {
        clock: match timer.clock {
            TimerClock::StreamTime => timers::Clock::StreamTime,
            TimerClock::WallClock => timers::Clock::WallClock,
        },
        name: &timer.name,
        due: timer.due.0,
        payload: &timer.payload,
    }
}

/// Names and values of one answer.
type Headers<'a> = Vec<(&'a str, &'a str)>;

/// The headers of each response.
pub(crate) fn headers(responses: &[Response]) -> Vec<Headers<'_>> {
    responses.iter().map(headers_of).collect()
}

fn headers_of(response: &Response) -> Headers<'_> {
    match &response.ended {
        Ended::Answered { headers, .. } => {
            headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
        }
        Ended::GaveUp(_) | Ended::InDoubt(_) | Ended::NotSent => Headers::new(),
    }
}

/// The responses as the guest gets them; the headers are those of [`headers`].
///
/// # Errors
/// A callout has not ended: the host's mistake.
pub(crate) fn responses<'a>(
    responses: &'a [Response],
    headers: &'a [Headers<'a>],
) -> Result<Vec<callout_handler::Response<'a>>, CallError> {
    let response = |(response, headers): (&'a Response, &'a Headers<'a>)| {
        let (answer, body): (_, &[u8]) = match &response.ended {
            Ended::Answered { status, body, .. } => (callout_handler::Answer::Status(*status), body),
            Ended::GaveUp(why) => (callout_handler::Answer::GaveUp(reason(why)), &[]),
            Ended::InDoubt(why) => (callout_handler::Answer::InDoubt(reason(why)), &[]),
            Ended::NotSent => return Err(not_ended(&response.id)),
        };
        Ok(callout_handler::Response {
            id: &response.id,
            endpoint: &response.endpoint,
            mode: match response.mode {
                CalloutMode::AtMostOnce => callout_handler::Mode::AtMostOnce,
                CalloutMode::Idempotent => callout_handler::Mode::Idempotent,
            },
            answer,
            attempts: response.attempts,
            headers,
            body,
            key: response.key.as_deref(),
            context: &response.context,
        })
    };
    responses.iter().zip(headers).map(response).collect()
}

fn reason(reason: &Reason) -> callout_handler::Reason<'_> {
    callout_handler::Reason { code: &reason.code, message: &reason.message, last_status: reason.last_status }
}

/// Never the plugin's fault.
fn not_ended(id: &str) -> CallError {
    let fault =
        Fault::new(Code::Internal, format!("the callout `{id}` has not ended, and its plugin is told so"));
    CallError::State { code: fault.code(), message: fault.message().to_owned() }
}
