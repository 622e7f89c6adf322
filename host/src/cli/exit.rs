//! What the process says to its parent: 0 done, 1 a check failed, 2 usage or configuration, 3 a fault at run time.

use std::process::ExitCode;

use crate::fault::Code;

/// Everything is checked before the first record, so what a check can find counts as configuration.
pub(super) fn code(code: Code) -> ExitCode {
    ExitCode::from(match code {
        Code::CheckFailed | Code::IngestDeletes | Code::CarryOverMismatch => 1,
        _ if is_configuration(code) => 2,
        _ => 3,
    })
}

fn is_configuration(code: Code) -> bool {
    matches!(
        code,
        Code::FileUnreadable
            | Code::ConfigSyntax
            | Code::UnknownKey
            | Code::MissingKey
            | Code::InvalidValue
            | Code::VariableUnset
            | Code::SourceUnbound
            | Code::SinkUnbound
            | Code::EndpointUnbound
            | Code::SecretMissing
            | Code::CertificatesUnusable
            | Code::ClientKeyOwned
            | Code::ClientKeyUnknown
            | Code::PluginNotBundled
            | Code::PluginNotWasm
            | Code::PluginCoreModule
            | Code::PluginInvalid
            | Code::InterfaceUnsupported
            | Code::ImportNotGranted
            | Code::ManifestInvalid
            | Code::HandlerMissing
            | Code::PluginUnsupported
            | Code::PluginConfigInvalid
            | Code::GrantTooSmall
            | Code::PluginInitFailed
            | Code::BrokerUnreachable
            | Code::TopicMissing
            | Code::NotCoPartitioned
            | Code::KeysMisplaced
            | Code::TopicUnfit
            | Code::NotAuthorized
            | Code::TopicNotEmpty
            | Code::CarryOverChanged
            | Code::StateDirUnusable
            | Code::AddressUnusable
            | Code::ApiNotLoopback
            | Code::ColumnMissing
            | Code::CommandUnfit
    )
}
