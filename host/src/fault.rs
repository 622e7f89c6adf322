//! What goes wrong: a fault has a stable code, a scope that says who suffers, and whether trying again can help.
//!
//! The table of codes below is the whole list: `gristmill explain CODE` prints from it, and a test proves that every
//! code is produced by some test. Codes are never renamed and never reused.

use std::error::Error;
use std::fmt;

/// Who suffers from a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// One record: it goes to the dead-letter topic, the others go on.
    Record,
    /// One task: it is closed and starts again from what is committed, or stops.
    Task,
    /// One worker: it leaves the group's generation, drops what is uncommitted and starts again.
    Worker,
    /// The process: it exits.
    Host,
}

/// Whether the same thing can succeed later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Retry {
    /// It will fail again until somebody changes something.
    Never,
    /// It may pass: try again after a pause that grows.
    Backoff,
}

/// Declares the codes, and from the same lines their texts for `gristmill explain`.
macro_rules! codes {
    ($($variant:ident = $text:literal, $scope:ident, $retry:ident: $meaning:literal, $remedy:literal;)*) => {
        /// The stable name of a kind of fault.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        pub enum Code {
            $(#[doc = $meaning] $variant,)*
        }

        impl Code {
            /// All codes, in the order of the table.
            pub const ALL: &'static [Code] = &[$(Code::$variant,)*];

            /// The code as it is printed and put into headers: snake_case, never renamed.
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$variant => $text,)* }
            }

            /// Who suffers.
            pub fn scope(self) -> Scope {
                match self { $(Code::$variant => Scope::$scope,)* }
            }

            /// Whether trying again can help.
            pub fn retry(self) -> Retry {
                match self { $(Code::$variant => Retry::$retry,)* }
            }

            /// What it means, for `gristmill explain`.
            pub fn meaning(self) -> &'static str {
                match self { $(Code::$variant => $meaning,)* }
            }

            /// What to do about it, for `gristmill explain`.
            pub fn remedy(self) -> &'static str {
                match self { $(Code::$variant => $remedy,)* }
            }
        }
    };
}

codes! {
    // The pipeline file.
    FileUnreadable = "file_unreadable", Host, Never:
        "A file named on the command line or in the pipeline file cannot be read.",
        "Check the path and its permissions.";
    ConfigSyntax = "config_syntax", Host, Never:
        "A file is not valid TOML.",
        "Correct the line that the message names.";
    UnknownKey = "unknown_key", Host, Never:
        "A file has a key that means nothing here.",
        "Correct the spelling; the message names the nearest known key.";
    MissingKey = "missing_key", Host, Never:
        "A key that has no default is not set.",
        "Set it; `gristmill init` writes a file with every key in it.";
    InvalidValue = "invalid_value", Host, Never:
        "A value has the wrong type or does not make sense.",
        "Write it in the form that the message shows.";
    VariableUnset = "variable_unset", Host, Never:
        "A file uses an environment variable that is not set.",
        "Set the variable, or write the value into the file.";
    SourceUnbound = "source_unbound", Host, Never:
        "A source of the plugin is not bound to a topic.",
        "Add `sources.NAME = \"topic\"` to the transform.";
    SinkUnbound = "sink_unbound", Host, Never:
        "A sink of the plugin is not bound to a topic.",
        "Add `sinks.NAME = \"topic\"` to the transform.";
    EndpointUnbound = "endpoint_unbound", Host, Never:
        "An endpoint of the plugin is not bound to a base URL.",
        "Add `endpoints.NAME.base_url = \"URL\"` to the transform.";
    SecretMissing = "secret_missing", Host, Never:
        "The secret of an endpoint is not where its credentials say, or cannot be the value of a header.",
        "Set the environment variable or write the file that the message names, and start the host again.";
    CertificatesUnusable = "certificates_unusable", Host, Never:
        "There are no certificates that the server of an endpoint could be trusted by.",
        "Name a file of certificates in PEM in `ca_file`, or install the certificates of the system (the package `ca-certificates`).";
    ClientKeyOwned = "client_key_owned", Host, Never:
        "A client option is set that the host owns, because its guarantees depend on it.",
        "Remove it from `[kafka.client]`.";
    ClientKeyUnknown = "client_key_unknown", Host, Never:
        "A client option does not exist, or does not take this value.",
        "Look it up in librdkafka's list of configuration properties.";

    // Plugins, when they are loaded.
    PluginNotBundled = "plugin_not_bundled", Host, Never:
        "A `builtin:` plugin is not part of this binary.",
        "Build it with `make plugins` and build the host again, or name a `.wasm` file.";
    PluginNotWasm = "plugin_not_wasm", Host, Never:
        "A plugin file is empty or is not WebAssembly.",
        "Name the `.wasm` file that the build wrote.";
    PluginCoreModule = "plugin_core_module", Host, Never:
        "A plugin file is a core WebAssembly module; the host runs components.",
        "Turn it into a component: the SDK's build does, and so does `wasm-tools component new`.";
    PluginInvalid = "plugin_invalid", Host, Never:
        "A plugin file is a damaged component, or it does not export what its manifest needs.",
        "Build the plugin again with the SDK of the interface that its manifest names.";
    InterfaceUnsupported = "interface_unsupported", Host, Never:
        "A plugin was built for an interface that this host does not speak.",
        "Use a host and a plugin of the same interface line.";
    ImportNotGranted = "import_not_granted", Host, Never:
        "A plugin imports something that no pipeline file can grant.",
        "Build the plugin without that import.";
    ManifestInvalid = "manifest_invalid", Host, Never:
        "A plugin's manifest cannot be read or contradicts itself.",
        "The plugin's developer has to correct `plugin.toml` and build again.";
    HandlerMissing = "handler_missing", Host, Never:
        "A plugin's manifest declares indexes or jobs, and the plugin does not export their handler.",
        "The plugin's developer has to export it, or to remove the declaration from `plugin.toml`.";
    PluginUnsupported = "plugin_unsupported", Host, Never:
        "A plugin needs something that this version of the host cannot do yet, or lies where it cannot fetch it.",
        "Use a newer host, or name a `.wasm` file.";
    PluginConfigInvalid = "plugin_config_invalid", Host, Never:
        "The configuration of a transform does not fit the schema in the plugin's manifest.",
        "Correct `[transforms.NAME.config]`; `gristmill plugin inspect` shows the schema.";
    GrantTooSmall = "grant_too_small", Host, Never:
        "A transform is granted less than its plugin says it needs.",
        "Raise the limit in `[transforms.NAME.limits]`.";
    PluginInitFailed = "plugin_init_failed", Host, Never:
        "A plugin refused its configuration, or trapped while it started.",
        "The message is the plugin's own; correct the configuration or the plugin.";

    // Kafka, before the start and while running.
    BrokerUnreachable = "broker_unreachable", Host, Backoff:
        "No broker answers.",
        "Check `[kafka] brokers`, the network and the security settings.";
    TopicMissing = "topic_missing", Host, Never:
        "A topic of the pipeline does not exist.",
        "Create it; `gristmill topics FILE --create` makes all that are missing.";
    NotCoPartitioned = "not_co_partitioned", Host, Never:
        "Sources that are joined have different partition counts.",
        "Create the topics with the same number of partitions, or put a repartitioning transform in front of one.";
    KeysMisplaced = "keys_misplaced", Host, Never:
        "A sample of sources that are joined has keys in other partitions than the default partitioner of Java clients puts them.",
        "Write the topic anew with that partitioner; `murmur2_random` in librdkafka. See `key_placement` in the documentation.";
    TopicUnfit = "topic_unfit", Host, Never:
        "A topic has settings that its use does not allow, such as a table that is not compacted.",
        "Change the setting that the message names.";
    ChangelogPartitionMismatch = "changelog_partition_mismatch", Host, Never:
        "The changelog of a transform has another number of partitions than its sources.",
        "Restore the old partition count, or start without the state: stop all hosts, delete the changelog and the group's offsets.";
    NotAuthorized = "not_authorized", Host, Never:
        "The cluster refuses an operation to this user.",
        "Grant it; `gristmill topics FILE --acls` lists what is needed.";
    InstanceInUse = "instance_in_use", Host, Never:
        "Another process runs with the same instance name.",
        "Give each host its own `[app] instance`, or stop the other one.";
    PositionLost = "position_lost", Host, Never:
        "The committed position of a source lies outside the topic: records were deleted before they were read.",
        "Decide what to do about the gap, then reset the group's offsets for that topic.";
    KafkaFailed = "kafka_failed", Worker, Backoff:
        "A request to Kafka failed in a way that may pass.",
        "Nothing, if it goes away; else look into the broker's log.";
    TransactionAborted = "transaction_aborted", Worker, Backoff:
        "A transaction was aborted; its records are processed again.",
        "Nothing, if it is rare: rebalances and broker restarts do this.";
    ProducerReplaced = "producer_replaced", Worker, Backoff:
        "The outcome of a transaction was unknown or the producer was fenced; it is replaced and goes on from what is committed.",
        "Nothing, if it is rare.";
    MembershipLost = "membership_lost", Worker, Backoff:
        "The worker lost its place in the consumer group before it could commit.",
        "Nothing, if it is rare; else raise `max.poll.interval.ms` or lower the limits of the plugin's calls.";

    // Ingests.
    ColumnMissing = "column_missing", Host, Never:
        "The query of an ingest, or the items of its table, have no column or attribute of a name that the pipeline file uses.",
        "Correct `key` or `value` in `[ingest.NAME]`, or the query; the message names what there is.";
    DatabaseUnreachable = "database_unreachable", Host, Backoff:
        "The database of an ingest cannot be read at this time: it does not answer, refuses the user, or somebody has locked it. Nothing was published.",
        "Check the URL, the password and the network; the message names the cause.";
    DatabaseFailed = "database_failed", Host, Backoff:
        "A database does not answer the query of an ingest, or the connection was lost in the middle of it. Nothing was published.",
        "If it lasts, correct `query` in `[ingest.NAME]`, or look into the log of the database; the message names the cause.";
    IngestKeyNull = "ingest_key_null", Host, Never:
        "A row of an ingest has no key: it is NULL, empty, or of a type that is no key. Nothing was published; of a carry-over the pages before it were.",
        "Correct the row, or leave it out with the query.";
    IngestKeyTwice = "ingest_key_twice", Host, Never:
        "Two rows of an ingest have the same key, so that it is not known which of them is meant. Nothing was published; of a carry-over the pages before it were.",
        "Correct the rows or the query; the key must be unique.";
    IngestValueUnfit = "ingest_value_unfit", Host, Never:
        "A value of a row does not have the type that the pipeline file gives it. Nothing was published; of a carry-over the pages before it were.",
        "Correct the row, or the member's `type` in `[ingest.NAME.value]`.";
    IngestDeletes = "ingest_deletes", Host, Never:
        "A run of an ingest would delete more of the published keys than `deletes_max` allows: an emptied table, perhaps. Nothing was published.",
        "Look at the table. If it is right, run `gristmill ingest sql FILE --allow-deletes`.";
    IngestTooLarge = "ingest_too_large", Host, Never:
        "An ingest has more rows than `rows_max`. Nothing was published.",
        "Raise `rows_max` in `[ingest.NAME]`: each row takes about 100 bytes of memory and its key.";
    IngestSuperseded = "ingest_superseded", Host, Backoff:
        "A later run of the same ingest has taken over; this one published nothing.",
        "Nothing: the later run publishes what is newer.";
    DynamodbUnreachable = "dynamodb_unreachable", Host, Backoff:
        "A DynamoDB table does not answer, or says that it cannot now.",
        "Check the network and `endpoint` in `[ingest.NAME]`, and run the command again: it goes on where it stopped.";
    DynamodbFailed = "dynamodb_failed", Host, Never:
        "A DynamoDB table cannot be read: it does not exist, or the credentials do not allow it.",
        "Check `table`, `region` and `endpoint` in `[ingest.NAME]`, and the credentials in the environment or in the profile.";
    TopicNotEmpty = "topic_not_empty", Host, Never:
        "The topic of a carry-over has records, and no carry-over has begun to fill it: what it carries over could not be verified.",
        "Name another topic, or delete this one and make it again.";
    CarryOverChanged = "carry_over_changed", Host, Never:
        "A carry-over was begun with another table, key or value than the pipeline file says now, or its progress cannot be read.",
        "Set them back, or begin anew with an empty topic and without the topic of the progress.";
    CarryOverMismatch = "carry_over_mismatch", Host, Never:
        "A topic does not hold what was read from the table: something else has written to it, or has deleted from it.",
        "Find out what writes to the topic and stop it; then delete the topic and the topic of the progress, make the first one again, and run the command again.";

    // Ingests of HTTP: at the start, and what a client is told.
    SchemaInvalid = "schema_invalid", Host, Never:
        "The JSON Schema of an ingest is none, or refers to one outside its file.",
        "Correct the file that the message names; nothing is fetched from the network.";
    TlsUnusable = "tls_unusable", Host, Never:
        "The certificate or the key that a listener is to use cannot be read, or they do not belong together.",
        "Name files in PEM in `[http] tls`: the server's certificate first, and its private key.";
    PathUnknown = "path_unknown", Record, Never:
        "A request names a path that no ingest has.",
        "`GET /openapi.json` lists the paths; a key is one segment, so a `/` in it is written as `%2F`.";
    MethodNotAllowed = "method_not_allowed", Record, Never:
        "A request has a method that its path does not have.",
        "The header `Allow` of the answer lists the methods.";
    TokenMissing = "token_missing", Record, Never:
        "A request has no bearer token.",
        "Send the header `Authorization: Bearer TOKEN`.";
    TokenWrong = "token_wrong", Record, Never:
        "A request has another token than its ingest.",
        "Ask the operator for the token of this ingest.";
    RateExceeded = "rate_exceeded", Record, Backoff:
        "There were more requests in a second than the ingest takes.",
        "Wait as long as the header `Retry-After` says, or send batches.";
    ContentTypeUnfit = "content_type_unfit", Record, Never:
        "The body of a request is not of the type that its path takes.",
        "Send `Content-Type: application/json` with PUT and `application/x-ndjson` with POST, without a `Content-Encoding`.";
    RecordKeyInvalid = "record_key_invalid", Record, Never:
        "The key of a record is empty, too long, or not UTF-8.",
        "A key has 1 to 1,024 bytes of UTF-8, percent-encoded in a path.";
    BodyMalformed = "body_malformed", Record, Never:
        "The body of a request is not the JSON that its path takes. Nothing was written.",
        "Send one JSON value with PUT; with POST a line for each record, `{\"key\": \"K\", \"value\": {}}` or `{\"key\": \"K\", \"delete\": true}`.";
    BodyInvalid = "body_invalid", Record, Never:
        "A value does not fit the JSON Schema of its ingest. Nothing was written.",
        "The message names the place as a JSON pointer; `GET /openapi.json` has the schema.";
    BodyTooLarge = "body_too_large", Record, Never:
        "A value, a batch, or the number of its records is over the limit of the ingest. Nothing was written.",
        "Send less at once, or ask the operator to raise `value_bytes`, `batch_bytes` or `batch_records`.";
    BodyTooSlow = "body_too_slow", Record, Backoff:
        "The body of a request did not arrive in time. Nothing was written.",
        "Send it again; the operator can raise `[http] timeout`.";
    IdempotencyKeyInvalid = "idempotency_key_invalid", Record, Never:
        "The header `Idempotency-Key` of a request cannot be one.",
        "Send one with 1 to 200 visible characters of ASCII.";
    IdempotencyConflict = "idempotency_conflict", Record, Never:
        "An idempotency key was used for another request before. Nothing was written.",
        "Use a new key for each request, and the same one only to repeat it.";
    IdempotencyUnderWay = "idempotency_under_way", Record, Backoff:
        "A request with the same idempotency key is under way.",
        "Repeat it later: then it gets the answer of the first one.";
    IngestUnavailable = "ingest_unavailable", Record, Backoff:
        "Kafka does not take records at the moment, or nobody knows yet whether it has taken these.",
        "Repeat the request with the same `Idempotency-Key`: it is written once.";

    // The host itself.
    StateDirUnusable = "state_dir_unusable", Host, Never:
        "The state directory cannot be made, written or locked.",
        "Name a directory that this user can write and no other host uses.";
    StateLost = "state_lost", Task, Never:
        "The changelog of a transform does not hold the state that belongs to the committed positions.",
        "Restore the topic; or, to begin anew, delete the group's offsets and the outputs that must not be doubled.";
    StateTooNew = "state_too_new", Task, Never:
        "The state was written by a later version of the plugin than the one that runs.",
        "Deploy the later version on every host.";
    PositionsDisagree = "positions_disagree", Task, Never:
        "The committed positions of the group are not those that the state was committed with: somebody has set one of them.",
        "Set the group's offsets back to those that the message names, or delete them: then those of the state are taken.";
    SourceRecreated = "source_recreated", Task, Never:
        "A source topic was deleted and made anew: the committed positions and the state belong to the one before it.",
        "Nothing of the new topic was skipped. To begin anew with it, stop all hosts, delete the changelog and the group's offsets.";
    ChangelogRefused = "changelog_refused", Task, Never:
        "The changelog of a transform refuses a record, for its size perhaps.",
        "Raise `max.message.bytes` of the topic, or lower what the plugin writes into one row.";
    JobUnknown = "job_unknown", Record, Never:
        "A job is of a kind that the plugin does not have any more.",
        "Cancel the job, or deploy a version of the plugin that knows it.";
    EndpointGone = "endpoint_gone", Task, Never:
        "Callouts wait for an endpoint that the plugin does not have any more.",
        "Deploy a version of the plugin that has the endpoint, until its callouts have ended.";
    IndexBuilding = "index_building", Record, Backoff:
        "A call of a plugin scans an index that is being built, because it is new or its meaning has changed.",
        "Wait: `gristmill jobs list` shows how far it is. The call is made again then; nothing is lost.";
    OrderInvalid = "order_invalid", Record, Never:
        "An order in the inbox of a transform is none, or is about something that the transform does not have.",
        "Give orders with this version's `gristmill reemit` and `gristmill jobs`, and check the names of source, index and job.";
    JobStuck = "job_stuck", Record, Never:
        "The steps of a job do nothing and give the same cursor for ever.",
        "The plugin's developer has to correct the job; cancel it meanwhile.";
    StoreFailed = "store_failed", Task, Backoff:
        "A task's local store cannot be opened, read or written; it is dropped and restored from Kafka.",
        "Check the disk and the permissions below `[app] state_dir`; nothing is lost, Kafka holds the state.";
    DiskFull = "disk_full", Task, Backoff:
        "The disk of the state directory is full, so a task's local store cannot be written.",
        "Make room below `[app] state_dir`, or move it to a larger disk; nothing is lost, Kafka holds the state.";
    AddressUnusable = "address_unusable", Host, Never:
        "An address to listen on is taken or not allowed.",
        "Choose another port.";
    ApiNotLoopback = "api_not_loopback", Host, Never:
        "The admin API is asked to listen where other machines could reach it; it has neither encryption nor a token.",
        "Name an address of this machine alone, such as `127.0.0.1:9180`; a proxy in front of it can add what it lacks.";
    HostUnreachable = "host_unreachable", Host, Backoff:
        "No host answers where a command looked for one.",
        "Start it with `gristmill run FILE`, or name the address that its log shows with `--api`.";
    QuestionInvalid = "question_invalid", Host, Never:
        "A running host was asked for something that it has no page for.",
        "Ask as `docs/reference/api.md` shows; host and command should have the same version.";
    TokenRefused = "token_refused", Host, Never:
        "An order to a running host came without its token, or with another one.",
        "Let `gristmill` give the order with the pipeline file of the host, as the host's own user: the token is in the third line of `<state_dir>/<app>/api`.";
    TaskNotHere = "task_not_here", Host, Never:
        "A host was asked about a task that another host has, or nobody.",
        "Ask the other hosts; `gristmill status` lists the tasks of each.";
    StoreUnknown = "store_unknown", Host, Never:
        "A task was asked for a store or a table that it does not have.",
        "`gristmill plugin inspect` lists the stores and sources of a plugin.";
    WorkerSilent = "worker_silent", Host, Backoff:
        "A worker does not answer: it waits for Kafka, or a plugin computes for a long time.",
        "Try again; if it lasts, look into the log of the host.";
    CommandUnfit = "command_unfit", Host, Never:
        "A command was given arguments that do not fit together.",
        "See the command's `--help`.";
    CheckFailed = "check_failed", Host, Never:
        "A check found that something is not as it should be.",
        "The message names what was found.";
    Internal = "internal", Host, Never:
        "The host found itself in a state that its own rules exclude.",
        "Report it with the log; nothing uncommitted was made visible.";

    // One record, or one call of a plugin.
    Trap = "trap", Record, Never:
        "The plugin panicked or trapped on this record.",
        "Correct the plugin, then retry the dead letter.";
    Timeout = "timeout", Record, Never:
        "The plugin computed longer than its limit on this record alone, twice.",
        "Raise `limits.call`, or correct the plugin.";
    MemoryLimit = "memory_limit", Record, Never:
        "The plugin asked for more memory than it is granted.",
        "Raise `limits.memory`, or correct the plugin.";
    OutputLimit = "output_limit", Record, Never:
        "The plugin gave more output for one call than it is granted.",
        "Raise `limits.output`, or correct the plugin.";
    OutcomeInvalid = "outcome_invalid", Record, Never:
        "The plugin answered something that the interface does not allow, such as a sink that does not exist.",
        "Correct the plugin, or the SDK that it was built with.";
    RecordRefused = "record_refused", Record, Never:
        "An output of this record cannot be written: the broker would refuse it or did.",
        "The message names the reason: its size, a missing key for a compacted topic, its timestamp.";
    DeadLetterRefused = "dead_letter_refused", Task, Never:
        "The dead-letter topic refuses a dead letter even without its content; its task has stopped, nothing is lost.",
        "Raise the topic's `max.message.bytes`, or correct its settings, and start the host again.";
    PluginRetry = "plugin_retry", Task, Backoff:
        "The plugin asked for the same batch again later.",
        "The message is the plugin's own; the task waits and goes on by itself.";
    PluginFatal = "plugin_fatal", Task, Never:
        "The plugin said that it cannot go on; its task has stopped, nothing is lost.",
        "The message is the plugin's own; correct the cause and start the host again.";
    TooManyTraps = "too_many_traps", Task, Never:
        "A plugin trapped so often that its transform was stopped, before it dead-letters the whole topic.",
        "Correct the plugin and start the host again: it goes on where it stopped.";
}

impl Code {
    /// Whether a local store has failed: it is dropped and restored.
    pub fn is_of_a_store(self) -> bool {
        matches!(self, Self::StoreFailed | Self::DiskFull)
    }

    /// The code with this text, if there is one.
    pub fn find(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.as_str() == text)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A failure that the host can name.
#[derive(Debug)]
pub struct Fault {
    inner: Box<Inner>,
}

#[derive(Debug)]
struct Inner {
    code: Code,
    message: String,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Fault {
    /// A fault. The message is lower case, says what failed and for which object, and has no final period.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { inner: Box::new(Inner { code, message: message.into(), hint: None, source: None }) }
    }

    /// Adds what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.inner.source = Some(source.into());
        self
    }

    /// Adds what the user can do, in place of the general remedy of the code.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.inner.hint = Some(hint.into());
        self
    }

    /// Its stable code.
    pub fn code(&self) -> Code {
        self.inner.code
    }

    /// What failed, without the causes.
    pub fn message(&self) -> &str {
        &self.inner.message
    }

    /// The causes in one line, the nearest first; empty when there is none.
    pub fn cause(&self) -> String {
        let chain = std::iter::successors(self.source(), |error: &&(dyn Error + 'static)| (*error).source());
        chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// Message and causes in one line, as a log has them.
    pub fn line(&self) -> String {
        match self.cause() {
            cause if cause.is_empty() => self.message().to_owned(),
            cause => format!("{}: {cause}", self.message()),
        }
    }

    /// What the user can do: the fault's own hint, or the remedy of its code.
    pub fn remedy(&self) -> &str {
        self.inner.hint.as_deref().unwrap_or_else(|| self.code().remedy())
    }

    /// The whole fault as a person reads it: message, causes, hint and code, a line each.
    pub fn report(&self) -> String {
        let mut text = format!("error: {}", self.inner.message);
        let mut cause = self.source();
        let mut last = String::new();
        while let Some(error) = cause {
            // Some libraries say the same thing on each of their floors.
            let message = error.to_string();
            if message != last {
                text.push_str(&format!("\n  caused by: {message}"));
            }
            last = message;
            cause = error.source();
        }
        text.push_str(&format!("\nhint: {}\ncode: {}", in_message_form(self.remedy()), self.code()));
        text
    }
}

/// A sentence as hints are printed: lower case, no final period.
fn in_message_form(sentence: &str) -> String {
    let mut chars = sentence.strip_suffix('.').unwrap_or(sentence).chars();
    let first = chars.next().into_iter().flat_map(char::to_lowercase);
    first.chain(chars).collect()
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.inner.message)
    }
}

impl Error for Fault {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.inner.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn reports_message_causes_hint_and_code_on_lines_of_their_own() {
        let fault = Fault::new(Code::NotCoPartitioned, "transform `activation` cannot start")
            .because("`a` has 6 partitions, `b` has 12")
            .hint("create both topics alike");

        assert_eq!(
            fault.report(),
            "error: transform `activation` cannot start\n  caused by: `a` has 6 partitions, `b` has 12\n\
             hint: create both topics alike\ncode: not_co_partitioned"
        );
    }

    #[test]
    fn has_message_and_causes_in_a_line_for_the_log() {
        let fault = Fault::new(Code::StateLost, "the state is gone");
        assert_eq!(fault.line(), "the state is gone");
        assert_eq!(fault.because("the topic was cut").line(), "the state is gone: the topic was cut");
    }

    #[test]
    fn names_every_code_once_in_snake_case() {
        let texts: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();

        assert_eq!(texts.len(), Code::ALL.len());
        assert!(texts.iter().all(|text| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')));
        assert!(Code::ALL.iter().all(|code| Code::find(code.as_str()) == Some(*code)));
    }
}
