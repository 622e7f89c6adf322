//! What plugins say, and what happens to them outside of the records.

use std::path::Path;

use tracing::Level;

use crate::event::registry;
use crate::id::TaskId;

/// How much a line of a plugin matters, as the plugin sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PluginLevel {
    /// Each step.
    Trace,
    /// For its developer.
    Debug,
    /// Its life.
    Info,
    /// Something odd.
    Warn,
    /// Something is wrong.
    Error,
}

impl PluginLevel {
    /// Whether such a line goes anywhere.
    pub fn is_enabled(self) -> bool {
        match self {
            Self::Trace => tracing::enabled!(target: "plugin", Level::TRACE),
            Self::Debug => tracing::enabled!(target: "plugin", Level::DEBUG),
            Self::Info => tracing::enabled!(target: "plugin", Level::INFO),
            Self::Warn => tracing::enabled!(target: "plugin", Level::WARN),
            Self::Error => tracing::enabled!(target: "plugin", Level::ERROR),
        }
    }
}

/// A plugin wrote to the log. The texts are harmless and within their limit already.
#[derive(Debug)]
pub struct PluginSaid<'a> {
    /// The task whose instance it was.
    pub task: &'a TaskId,
    /// How much it matters.
    pub level: PluginLevel,
    /// What it said.
    pub message: &'a str,
    /// Names and values, as one text.
    pub fields: &'a str,
}

impl PluginSaid<'_> {
    /// Logs it.
    pub fn emit(self) {
        let Self { task, level, message, fields } = self;
        match level {
            PluginLevel::Trace => tracing::trace!(target: "plugin", %task, fields, "{message}"),
            PluginLevel::Debug => tracing::debug!(target: "plugin", %task, fields, "{message}"),
            PluginLevel::Info => tracing::info!(target: "plugin", %task, fields, "{message}"),
            PluginLevel::Warn => tracing::warn!(target: "plugin", %task, fields, "{message}"),
            PluginLevel::Error => tracing::error!(target: "plugin", %task, fields, "{message}"),
        }
    }
}

/// A plugin wrote more to the log in one call than it is granted.
#[derive(Debug)]
pub struct PluginLogCut<'a> {
    /// The task whose instance it was.
    pub task: &'a TaskId,
    /// Lines that are missing, or were cut.
    pub lines: usize,
}

impl PluginLogCut<'_> {
    /// Logs and counts it.
    pub fn emit(self) {
        tracing::warn!(target: "plugin", task = %self.task, lines = self.lines, "cut the log lines of a call");
        let labels = [("transform", self.task.transform.as_str())];
        registry().add("gristmill_plugin_log_lines_cut_total", &labels, self.lines);
    }
}

/// Compiled plugins cannot be kept on disk; the host compiles them at every start.
#[derive(Debug)]
pub struct CompileCacheUnusable<'a> {
    /// The directory.
    pub dir: &'a Path,
    /// Why.
    pub cause: &'a std::io::Error,
}

impl CompileCacheUnusable<'_> {
    /// Logs it.
    pub fn emit(self) {
        tracing::warn!(dir = %self.dir.display(), cause = %self.cause, "compiled plugins are not kept");
    }
}
