//! A server that is compatible with DynamoDB: moto, in a Python of its own, and a proxy in front of it that has bad days.
//!
//! Requests are written and read here as plain JSON: nothing is shared with the host's client.

mod message;
mod proxy;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use ureq::http::Request;

pub use proxy::{Deed, Proxy};

use crate::client::unique;
use crate::{foreign, http, rundir};

/// The server and what of it this needs, in versions that are known to work together.
const PACKAGES: &[&str] = &["moto[dynamodb]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];

/// The form of a signature, which the server does not check.
const AUTHORIZATION: &str = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/dynamodb/aws4_request, \
                             SignedHeaders=host, Signature=none";

/// Items that one request may write.
const BATCH: usize = 25;

/// A server. It ends with this process at the latest.
#[derive(Debug)]
pub struct Dynamodb {
    child: Child,
    /// The server reads it to its end.
    input: Option<ChildStdin>,
    address: SocketAddr,
}

impl Dynamodb {
    /// The one that all tests of this program share; each makes tables of its own.
    ///
    /// # Errors
    /// When it cannot be installed or does not start.
    pub fn shared() -> Result<&'static Self> {
        static SHARED: OnceLock<Result<Dynamodb>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref().map_err(|error| anyhow!("{error:#}"))
    }

    fn start() -> Result<Self> {
        let log = rundir::make("dynamodb")?.join("log");
        let mut child = Command::new(foreign::environment("dynamodb-server", PACKAGES)?)
            .arg(rundir::repository().join("tests/foreign/dynamodb.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(&log)?)
            .spawn()?;
        let (input, output) = (child.stdin.take(), child.stdout.take().context("the server has no output")?);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().strip_prefix("listening on ").and_then(|address| address.parse().ok());
        let address = address
            .with_context(|| format!("the server said `{line}`; its log: {}", crate::process::tail(&log)))?;
        Ok(Self { child, input, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks it for something; `action` is a name of DynamoDB's API.
    ///
    /// # Errors
    /// When it answers with an error.
    pub fn call(&self, action: &str, body: &Value) -> Result<Value> {
        let request = Request::post(format!("http://{}/", self.address))
            .header("X-Amz-Target", format!("DynamoDB_20120810.{action}"))
            .header("Content-Type", "application/x-amz-json-1.0")
            .header("Authorization", AUTHORIZATION)
            .body(body.to_string())?;
        http::send(request)?.json().context(action.to_owned())
    }

    /// Makes a table with a name of its own. Its key: names and types of one attribute, or of two.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn table(&self, key: &[(&str, &str)]) -> Result<String> {
        let name = unique("table");
        let attributes: Vec<_> =
            key.iter().map(|(name, kind)| json!({ "AttributeName": name, "AttributeType": kind })).collect();
        let schema: Vec<_> = key
            .iter()
            .zip(["HASH", "RANGE"])
            .map(|((name, _), kind)| json!({ "AttributeName": name, "KeyType": kind }))
            .collect();
        self.call(
            "CreateTable",
            &json!({
                "TableName": name,
                "KeySchema": schema,
                "AttributeDefinitions": attributes,
                "BillingMode": "PAY_PER_REQUEST",
            }),
        )?;
        Ok(name)
    }

    /// Puts items into a table, each as DynamoDB writes it in JSON.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn put(&self, table: &str, items: &[Value]) -> Result<()> {
        for batch in items.chunks(BATCH) {
            let puts: Vec<_> = batch.iter().map(|item| json!({ "PutRequest": { "Item": item } })).collect();
            self.call("BatchWriteItem", &json!({ "RequestItems": { table: puts } }))?;
        }
        Ok(())
    }
}

impl Drop for Dynamodb {
    fn drop(&mut self) {
        drop(self.input.take());
        // Both fail only for a process that has ended, which is what is wanted.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
