//! Finds the external ID of a product in its information.

use gristmill::Reject;
use gristmill::json::Kind;
use gristmill::json::Pointer;
use gristmill::json::Template;

use crate::input;

/// Where the external ID is, and what the member of notifications is called.
pub(crate) struct ExternalId {
    template: Template,
    member: String,
}

impl ExternalId {
    pub(crate) fn new(pointer: &str) -> Result<Self, String> {
        let parsed = Pointer::parse(pointer).map_err(|error| error.to_string())?;
        let member = parsed.last().ok_or("it is the whole document, write it like `/externalId`")?.to_owned();
        let template = Template::new(&[pointer], &[]).map_err(|error| error.to_string())?;
        Ok(Self { template, member })
    }

    /// The name of its last step.
    pub(crate) fn member(&self) -> &str {
        &self.member
    }

    /// The ID in some information, as JSON text: a text that is not empty, or a number.
    pub(crate) fn of<'d>(&mut self, information: &'d [u8]) -> Result<&'d str, Reject> {
        let document = self.template.read(information).map_err(input::refuse)?;
        if !document.is_object() {
            return Err(input::refuse(gristmill::json::Error::NotAnObject));
        }
        let missing =
            || Reject::new("external-id-missing", "the information has no external ID, or it is null");
        let value = document.get(0).ok_or_else(missing)?;
        match value.kind() {
            Kind::Null => Err(missing()),
            Kind::Number => Ok(value.text()),
            Kind::String if value.text() != "\"\"" => Ok(value.text()),
            _ => Err(Reject::new("external-id-invalid", "the external ID is neither text nor a number")),
        }
    }
}
