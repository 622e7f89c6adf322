//! Writing a callout, field by field.

use crate::Endpoint;
use crate::Path;
use crate::bindings::gristmill::transform::types::Callout;
use crate::outcome::Draft;

/// A callout that lacks its method and path. It is made by [`get`](Self::get) and the like, and forgotten otherwise.
///
/// ```ignore
/// let path = Path::new("/products/{}", &[&id])?;
/// ctx.call(endpoints::DETAILS, &call_id).key(key).context(value).get(path);
/// ```
#[must_use = "a callout is made when its method and path are given"]
pub struct Call<'a> {
    draft: &'a mut Draft,
    callout: Callout,
}

impl<'a> Call<'a> {
    pub(crate) fn new(draft: &'a mut Draft, endpoint: Endpoint<'_>, id: &str, cause: Option<u32>) -> Self {
        let callout = Callout {
            id: id.to_owned(),
            endpoint: endpoint.name().to_owned(),
            method: String::new(),
            path: String::new(),
            headers: Vec::new(),
            body: None,
            key: None,
            context: Vec::new(),
            cause,
        };
        Self { draft, callout }
    }

    /// Appends a header. `Host`, `Authorization` and `Idempotency-Key` are the host's, and make it drop the call.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.callout.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Sets the body.
    pub fn body(mut self, body: &[u8]) -> Self {
        self.callout.body = Some(body.to_vec());
        self
    }

    /// Sets the key of the review record, which the host writes when there is no answer. It comes back with the answer.
    pub fn key(mut self, key: &[u8]) -> Self {
        self.callout.key = Some(key.to_vec());
        self
    }

    /// Sets the value of the review record. It comes back with the answer: the plugin needs to remember nothing.
    pub fn context(mut self, context: &[u8]) -> Self {
        self.callout.context = context.to_vec();
        self
    }

    /// Makes it a `GET` of this path.
    pub fn get(self, path: Path) {
        self.method("GET", path);
    }

    /// Makes it a `POST` to this path.
    pub fn post(self, path: Path) {
        self.method("POST", path);
    }

    /// Makes it a `PUT` to this path.
    pub fn put(self, path: Path) {
        self.method("PUT", path);
    }

    /// Makes it a `DELETE` of this path.
    pub fn delete(self, path: Path) {
        self.method("DELETE", path);
    }

    /// Makes it a request with this method, which the manifest lists for the endpoint.
    pub fn method(mut self, method: &str, path: Path) {
        self.callout.method = method.to_owned();
        self.callout.path = path.into_text();
        self.draft.callouts.push(self.callout);
    }
}
