//! The table itself, through Amazon's SDK: pages of a scan, and what the SDK's errors mean.
//!
//! The SDK's own retries are off: throttling has to be seen, and may last longer than they do. Reads are consistent: an item
//! that was written before the page was asked for is in it.

use std::error::Error;
use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::{AttributeValue, KeyType, ReturnConsumedCapacity};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use tokio::runtime::Runtime;

use crate::config::ingest::DynamodbIngest;
use crate::fault::{Code, Fault};
use crate::ingest::dynamodb::attribute::{Attribute, Item};
use crate::ingest::dynamodb::pages::{Page, PageError, Pages, TableFacts};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take: a page is at most a megabyte.
const ANSWER: Duration = Duration::from_secs(30);

/// Servers that stand in for Amazon's do not care, but a request is signed for a region.
const REGION_OF_NO_MEANING: &str = "us-east-1";

/// What throttling is called, depending on what was exceeded.
const THROTTLING: &[&str] = &[
    "ProvisionedThroughputExceededException",
    "ThrottlingException",
    "Throttling",
    "RequestLimitExceeded",
    "LimitExceededException",
];

/// A table.
pub struct DynamodbTable {
    runtime: Runtime,
    client: Client,
    table: String,
    /// Where it is, for messages.
    place: String,
    limit: i32,
}

impl DynamodbTable {
    /// Finds region and credentials the way Amazon's own tools do. Nothing is asked of the table yet.
    ///
    /// # Errors
    /// `dynamodb_failed` when there is no region.
    pub fn open(ingest: &DynamodbIngest) -> Result<Self, Fault> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| {
                Fault::new(Code::DynamodbFailed, "no runtime for requests can be made").because(error)
            })?;
        let config = runtime.block_on(load(ingest));
        let Some(region) = config.region() else {
            let fault =
                Fault::new(Code::DynamodbFailed, format!("no region of table `{}` is known", ingest.table));
            return Err(
                fault.hint("set `region` in `[ingest.NAME]`, or the environment variable `AWS_REGION`")
            );
        };
        let place = match &ingest.endpoint {
            Some(endpoint) => format!("at `{endpoint}`"),
            None => format!("in `{region}`"),
        };
        // A page never holds more than a second's worth.
        let items = ingest.page_items.min(ingest.per_second.unwrap_or(u32::MAX));
        Ok(Self {
            client: Client::new(&config),
            runtime,
            table: ingest.table.clone(),
            place,
            limit: i32::try_from(items).unwrap_or(i32::MAX),
        })
    }

    fn failed<E>(&self, error: SdkError<E, HttpResponse>) -> PageError
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let what = format!("table `{}` {} cannot be read", self.table, self.place);
        let SdkError::ServiceError(context) = &error else {
            return without_answer(what, error);
        };
        let refusal = Refusal {
            code: context.err().code().unwrap_or("no code"),
            message: context.err().message().unwrap_or_default(),
            status: context.raw().status().as_u16(),
        };
        refusal.meaning(what)
    }
}

/// An answer that is an error.
struct Refusal<'a> {
    code: &'a str,
    message: &'a str,
    status: u16,
}

impl Refusal<'_> {
    fn meaning(&self, what: String) -> PageError {
        // What follows the first line of an answer to a wrong signature is the request itself, with its session token.
        let cause = format!("{}: {}", self.code, self.message.lines().next().unwrap_or_default());
        if THROTTLING.contains(&self.code) {
            return PageError::Throttled(Fault::new(Code::DynamodbUnreachable, what).because(cause));
        }
        if self.status >= 500 {
            return PageError::Unavailable(Fault::new(Code::DynamodbUnreachable, what).because(cause));
        }
        let fault = Fault::new(Code::DynamodbFailed, what).because(cause);
        PageError::Failed(match self.code {
            "ResourceNotFoundException" => {
                fault.hint("check `table`, `region` and `endpoint` in `[ingest.NAME]`")
            }
            "AccessDeniedException" => fault.hint(
                "the credentials need the actions `dynamodb:DescribeTable` and `dynamodb:Scan` on the table",
            ),
            _ => fault,
        })
    }
}

/// What it means that a request has no answer that could be read.
fn without_answer<E>(what: String, error: SdkError<E, HttpResponse>) -> PageError
where
    E: Error + Send + Sync + 'static,
{
    let may_pass = match &error {
        SdkError::TimeoutError(_) | SdkError::ResponseError(_) => true,
        // Of others, those have a kind that the SDK itself would try again: an answer that ends in the middle.
        SdkError::DispatchFailure(failure) => {
            failure.is_io() || failure.is_timeout() || failure.as_other().is_some()
        }
        _ => false,
    };
    let cause = chain(&error);
    if may_pass {
        return PageError::Unavailable(Fault::new(Code::DynamodbUnreachable, what).because(cause));
    }
    PageError::Failed(Fault::new(Code::DynamodbFailed, what).because(cause))
}

/// An error with its causes in one line.
fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(Some(error), |error: &&dyn Error| (*error).source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

async fn load(ingest: &DynamodbIngest) -> SdkConfig {
    let region = RegionProviderChain::first_try(ingest.region.clone().map(Region::new));
    let region = match &ingest.endpoint {
        // No instance is asked where it runs, which takes seconds where there is none.
        Some(_) => region
            .or_else(EnvironmentVariableRegionProvider::new())
            .or_else(ProfileFileRegionProvider::new())
            .or_else(Region::new(REGION_OF_NO_MEANING)),
        None => region.or_default_provider(),
    };
    let timeouts = TimeoutConfig::builder().connect_timeout(CONNECT).operation_timeout(ANSWER).build();
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https())
        .retry_config(RetryConfig::disabled())
        .timeout_config(timeouts)
        .region(region);
    match &ingest.endpoint {
        Some(endpoint) => loader.endpoint_url(endpoint).load().await,
        None => loader.load().await,
    }
}

impl Pages for DynamodbTable {
    fn table(&mut self) -> Result<TableFacts, PageError> {
        let request = self.client.describe_table().table_name(&self.table).send();
        let answer = self.runtime.block_on(request).map_err(|error| self.failed(error))?;
        let table =
            answer.table.unwrap_or_else(|| aws_sdk_dynamodb::types::TableDescription::builder().build());
        let mut key = table.key_schema.unwrap_or_default();
        key.sort_by_key(|element| element.key_type != KeyType::Hash);
        let items = table.item_count.and_then(|count| u64::try_from(count).ok()).unwrap_or(0);
        Ok(TableFacts { key: key.into_iter().map(|element| element.attribute_name).collect(), items })
    }

    fn page(&mut self, after: Option<&Item>) -> Result<Page, PageError> {
        let start = after.map(|place| {
            place.iter().filter_map(|(name, value)| Some((name.clone(), to_sdk(value)?))).collect()
        });
        let request = self
            .client
            .scan()
            .table_name(&self.table)
            .limit(self.limit)
            .consistent_read(true)
            .return_consumed_capacity(ReturnConsumedCapacity::Total)
            .set_exclusive_start_key(start)
            .send();
        let answer = self.runtime.block_on(request).map_err(|error| self.failed(error))?;
        let read_units = answer.consumed_capacity.and_then(|capacity| capacity.capacity_units).unwrap_or(0.0);
        let items = answer.items.unwrap_or_default().into_iter().map(|item| self.item(item));
        let items = items.collect::<Result<_, _>>()?;
        let next = answer.last_evaluated_key.filter(|place| !place.is_empty());
        Ok(Page { items, next: next.map(|place| self.item(place)).transpose()?, read_units })
    }
}

impl DynamodbTable {
    fn item(
        &self,
        attributes: impl IntoIterator<Item = (String, AttributeValue)>,
    ) -> Result<Item, PageError> {
        let attribute = |(name, value)| Some((name, from_sdk(value)?));
        attributes.into_iter().map(attribute).collect::<Option<_>>().ok_or_else(|| {
            let message =
                format!("table `{}` {} has values of a type that is not known", self.table, self.place);
            PageError::Failed(Fault::new(Code::DynamodbFailed, message).hint("use a newer host"))
        })
    }
}

/// None for types that DynamoDB does not have yet.
fn from_sdk(value: AttributeValue) -> Option<Attribute> {
    let blobs = |blobs: Vec<Blob>| blobs.into_iter().map(Blob::into_inner).collect();
    Some(match value {
        AttributeValue::S(text) => Attribute::Text(text),
        AttributeValue::N(text) => Attribute::Number(text),
        AttributeValue::B(blob) => Attribute::Bytes(blob.into_inner()),
        AttributeValue::Bool(truth) => Attribute::Boolean(truth),
        AttributeValue::Null(_) => Attribute::Null,
        AttributeValue::L(values) => {
            Attribute::List(values.into_iter().map(from_sdk).collect::<Option<_>>()?)
        }
        AttributeValue::M(members) => {
            let member = |(name, value)| Some((name, from_sdk(value)?));
            Attribute::Map(members.into_iter().map(member).collect::<Option<_>>()?)
        }
        AttributeValue::Ss(texts) => Attribute::Texts(texts),
        AttributeValue::Ns(numbers) => Attribute::Numbers(numbers),
        AttributeValue::Bs(values) => Attribute::Blobs(blobs(values)),
        _ => return None,
    })
}

/// None for what is never part of a key.
fn to_sdk(value: &Attribute) -> Option<AttributeValue> {
    match value {
        Attribute::Text(text) => Some(AttributeValue::S(text.clone())),
        Attribute::Number(text) => Some(AttributeValue::N(text.clone())),
        Attribute::Bytes(bytes) => Some(AttributeValue::B(Blob::new(bytes.clone()))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(code: &str, message: &str, status: u16) -> PageError {
        Refusal { code, message, status }.meaning("table `t` cannot be read".to_owned())
    }

    #[test]
    fn tells_what_passes_from_what_does_not() {
        for code in ["ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded"]
        {
            assert!(matches!(meaning(code, "", 400), PageError::Throttled(_)), "{code}");
        }
        assert!(matches!(meaning("InternalServerError", "", 500), PageError::Unavailable(_)));
        assert!(matches!(meaning("no code", "", 503), PageError::Unavailable(_)));
        for code in ["ResourceNotFoundException", "AccessDeniedException", "ValidationException"] {
            let PageError::Failed(fault) = meaning(code, "no", 400) else { panic!("{code}") };
            assert_eq!((fault.code(), fault.cause()), (Code::DynamodbFailed, format!("{code}: no")));
        }
    }

    #[test]
    fn keeps_the_request_that_a_server_repeats_out_of_messages() {
        let message = "The request signature does not match.\n\nThe Canonical String should have been\nx-amz-security-token:SECRET";

        let PageError::Failed(fault) = meaning("InvalidSignatureException", message, 400) else { panic!() };

        assert!(!fault.report().contains("SECRET"), "{}", fault.report());
        assert_eq!(fault.cause(), "InvalidSignatureException: The request signature does not match.");
    }

    #[test]
    fn gives_values_to_the_sdk_and_takes_them_back() {
        for value in [
            Attribute::Text("a".to_owned()),
            Attribute::Number("12345678901234567890.5".to_owned()),
            Attribute::Bytes(vec![0, 255]),
        ] {
            assert_eq!(from_sdk(to_sdk(&value).unwrap()), Some(value));
        }
        assert_eq!(to_sdk(&Attribute::Boolean(true)), None);
    }
}
