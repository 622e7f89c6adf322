//! `log`: the plugin's voice in the host's log, and its last words.

use crate::event;
use crate::event::PluginLevel;
use crate::id::TaskId;
use crate::plugin::bindings::v0_1::gristmill::transform::log;
use crate::plugin::context::Context;
use crate::plugin::text::harmless;

/// Bytes of a panic's message: it goes into a header of a dead letter.
const PANIC_BYTES_MAX: usize = 4 << 10;

/// What a guest says before it traps.
#[derive(Debug)]
pub(crate) struct LastWords {
    /// The panic's message.
    pub(crate) message: String,
    /// File and line, if it told them.
    pub(crate) location: Option<String>,
}

/// What an instance says, within the limit of each call.
#[derive(Debug)]
pub(crate) struct Voice {
    /// Whose log lines these are; none while a component is only looked at: then nothing is written.
    task: Option<TaskId>,
    /// Bytes that the current call may still write.
    left_bytes: usize,
    /// Lines of the current call that were dropped or cut.
    cut_lines: usize,
    last_words: Option<LastWords>,
}

impl Voice {
    /// The voice of an instance, which may say nothing until a call begins.
    pub(crate) fn new(task: Option<TaskId>) -> Self {
        Self { task, left_bytes: 0, cut_lines: 0, last_words: None }
    }

    /// A call begins; it may write this much.
    pub(crate) fn begin(&mut self, limit_bytes: u64) {
        self.left_bytes = usize::try_from(limit_bytes).unwrap_or(usize::MAX);
        self.cut_lines = 0;
        self.last_words = None;
    }

    /// A call ends: says how much of it is missing in the log.
    pub(crate) fn end(&mut self) -> Option<LastWords> {
        if let (Some(task), 1..) = (&self.task, self.cut_lines) {
            event::PluginLogCut { task, lines: self.cut_lines }.emit();
        }
        self.last_words.take()
    }

    fn say(&mut self, level: PluginLevel, message: &str, fields: &[(String, String)]) {
        let Some(task) = &self.task else { return };
        if !level.is_enabled() {
            return;
        }
        let wanted = fields.iter().fold(message.len(), |sum, (name, value)| sum + name.len() + value.len());
        if wanted > self.left_bytes {
            self.cut_lines += 1;
        }
        if self.left_bytes == 0 {
            return;
        }
        let message = harmless(message, self.left_bytes);
        let mut left = self.left_bytes.saturating_sub(message.len());
        let mut shown = String::new();
        for (name, value) in fields {
            if left == 0 {
                break;
            }
            let field = format!(" {}={}", harmless(name, left), harmless(value, left));
            left = left.saturating_sub(field.len());
            shown.push_str(&field);
        }
        self.left_bytes = self.left_bytes.saturating_sub(wanted);
        event::PluginSaid { task, level, message: &message, fields: shown.trim_start() }.emit();
    }
}

impl log::Host for Context {
    fn enabled(&mut self, level: log::Level) -> wasmtime::Result<bool> {
        Ok(host_level(level).is_enabled())
    }

    fn write(
        &mut self,
        level: log::Level,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.voice.say(host_level(level), &message, &fields);
        Ok(())
    }

    fn panicked(&mut self, message: String, location: String) -> wasmtime::Result<()> {
        let location = Some(harmless(&location, PANIC_BYTES_MAX)).filter(|location| !location.is_empty());
        self.voice.last_words = Some(LastWords { message: harmless(&message, PANIC_BYTES_MAX), location });
        Ok(())
    }
}

fn host_level(level: log::Level) -> PluginLevel {
    match level {
        log::Level::Trace => PluginLevel::Trace,
        log::Level::Debug => PluginLevel::Debug,
        log::Level::Info => PluginLevel::Info,
        log::Level::Warn => PluginLevel::Warn,
        log::Level::Error => PluginLevel::Error,
    }
}
