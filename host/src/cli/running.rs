//! A running host, as commands see it: found through a pipeline file or an address, and asked over its admin API.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::de::DeserializeOwned;
use ureq::Agent;

use crate::api::AddressFile;
use crate::api::shapes::{Refused, Tasks};
use crate::app::state_dir;
use crate::config::{api_address, env, raw};
use crate::fault::{Code, Fault};

/// Longer than a host waits for one of its workers.
const PATIENCE: Duration = Duration::from_secs(15);

/// Pages are long when there are many tasks.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// A host that may run.
pub(super) struct Host {
    agent: Agent,
    address: SocketAddr,
    /// The pipeline file that led here.
    file: Option<PathBuf>,
    /// What orders need; only the file leads to it.
    token: Option<String>,
}

impl Host {
    /// Finds a host: at the address, or where the host of the pipeline file says that it listens, or at the default address.
    ///
    /// # Errors
    /// `host_unreachable`, and those of the pipeline file.
    pub(super) fn find(file: Option<&Path>, api: Option<SocketAddr>) -> Result<Self, Fault> {
        let config = Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false);
        // A proxy of the environment is for other machines.
        let agent = config.proxy(None).build().new_agent();
        let address = api.unwrap_or(api_address::DEFAULT);
        let Some(file) = file else { return Ok(Self { agent, address, file: None, token: None }) };
        let app = raw::read(file, &env::process)?.app;
        let directory = state_dir::path(&app);
        let Some(found) = AddressFile::read(&directory) else {
            let shown = file.display();
            let what = format!("no host runs with the pipeline file `{shown}`");
            let looked = format!("`{}` is not there", AddressFile::path(&directory).display());
            let hint = format!("start it with `gristmill run {shown}`, or name its address with `--api`");
            return Err(Fault::new(Code::HostUnreachable, what).because(looked).hint(hint));
        };
        let (address, token) = (found.address, found.token);
        let host = Self { agent, address, file: Some(file.to_owned()), token };
        let answering: Tasks = host.get("/api/v1/tasks")?;
        if (answering.app.as_str(), &answering.instance) != (app.id.as_str(), &found.instance) {
            let what = format!("the host of the pipeline file `{}` has ended", file.display());
            let other = format!(
                "on `{}` there is instance `{}` of `{}` now",
                host.address, answering.instance, answering.app
            );
            return Err(Fault::new(Code::HostUnreachable, what).because(other));
        }
        Ok(host)
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A page; a host that is not ready has its reasons on one, too.
    ///
    /// # Errors
    /// `host_unreachable`, and what the host answers.
    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let url = format!("http://{}{path}", self.address);
        self.read(self.agent.get(url).call())
    }

    /// Gives an order that has no body.
    ///
    /// # Errors
    /// `host_unreachable`, `token_refused`, and what the host answers.
    pub(super) fn order<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let url = format!("http://{}{path}", self.address);
        let token = self.token.as_deref().unwrap_or_default();
        self.read(self.agent.post(url).header("Authorization", format!("Bearer {token}")).send_empty())
    }

    fn read<T: DeserializeOwned>(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<T, Fault> {
        let mut response = answer.map_err(|error| self.unreachable(error))?;
        let body = response.body_mut().with_config().limit(PAGE_BYTES_MAX).read_to_string();
        let body = body.map_err(|error| self.unreachable(error))?;
        serde_json::from_str(&body).map_err(|error| match serde_json::from_str::<Refused>(&body) {
            Ok(refused) => answered(refused),
            Err(_) => self.stranger(error),
        })
    }

    fn unreachable(&self, error: ureq::Error) -> Fault {
        let fault = Fault::new(Code::HostUnreachable, format!("no host answers on `{}`", self.address));
        let fault = fault.because(error);
        match &self.file {
            Some(file) => {
                let file = file.display();
                fault.hint(format!(
                    "the host of `{file}` was killed, perhaps; start it with `gristmill run {file}`"
                ))
            }
            None => fault,
        }
    }

    fn stranger(&self, error: serde_json::Error) -> Fault {
        let what = format!("what answers on `{}` is no host of this version", self.address);
        Fault::new(Code::HostUnreachable, what).because(error)
    }
}

fn answered(refused: Refused) -> Fault {
    let code = Code::find(&refused.error.code).unwrap_or(Code::Internal);
    let fault = Fault::new(code, refused.error.message);
    match refused.error.hint {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_where_it_looked_for_a_host() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("shop.toml");
        let text = "[app]\nid = \"shop\"\n[kafka]\nbrokers = \"b:1\"\n[transforms.t]\nplugin = \"t.wasm\"\n";
        std::fs::write(&file, text).unwrap();

        let fault = Host::find(Some(&file), None).err().unwrap();

        assert_eq!(fault.code(), Code::HostUnreachable);
        assert!(fault.cause().ends_with("gristmill-state/shop/api` is not there"), "{}", fault.report());
    }

    #[test]
    fn takes_over_what_a_host_answers() {
        let text = r#"{"error":{"code":"task_not_here","message":"task `t/1` is not open on this host","hint":"ask others"}}"#;

        let fault = answered(serde_json::from_str(text).unwrap());

        assert_eq!(fault.code(), Code::TaskNotHere);
        assert_eq!((fault.message(), fault.remedy()), ("task `t/1` is not open on this host", "ask others"));
    }
}
