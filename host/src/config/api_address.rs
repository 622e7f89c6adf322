//! `[app] api`: where the admin API listens, never beyond this machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use crate::config::document::Item;
use crate::fault::{Code, Fault};

/// Where the admin API listens when the pipeline file does not say. A second host on the same machine takes another port.
pub const DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180);

/// The value that switches the API off.
pub const OFF: &str = "off";

const FORM: &str = "an address with a port such as \"127.0.0.1:9180\", or \"off\"";

/// Reads `[app] api`; none switches the API off.
///
/// # Errors
/// `invalid_value`, and `api_not_loopback` for an address that other machines could reach.
pub(crate) fn parse(item: &Item) -> Result<Option<SocketAddr>, Fault> {
    let text = item.text()?;
    if text == OFF {
        return Ok(None);
    }
    let numeric = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let Ok(address) = numeric.as_deref().unwrap_or(text).parse::<SocketAddr>() else {
        return Err(item.place().invalid(format_args!("is `{text}`, it must be {FORM}")));
    };
    if !address.ip().is_loopback() {
        let problem = format!("is `{text}`, which other machines could reach");
        return Err(item.place().fault(Code::ApiNotLoopback, problem));
    }
    Ok(Some(address))
}

/// The value as it is written in a pipeline file.
pub fn format(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| OFF.to_owned(), |address| address.to_string())
}
