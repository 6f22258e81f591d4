//! A registry's words as Docker's engine gives them on. Pure.

use crate::error::{Error, Kind};
use dhow_reference::Reference;
use dhow_registry::protocol::{Platform, codes};

/// Why a name cannot be pulled.
pub(crate) fn translate(error: dhow_registry::Error, name: &Reference) -> Error {
    let (kind, message) = match error.code() {
        Some(codes::DENIED) => (
            Kind::NotFound,
            format!("pull access denied for {}, repository does not exist or may require 'docker login': {error}", name.familiar_name()),
        ),
        Some(codes::MANIFEST_UNKNOWN) => (Kind::NotFound, format!("manifest for {} not found: {error}", name.familiar())),
        Some(codes::NAME_UNKNOWN) => (Kind::NotFound, format!("repository {} not found: {error}", name.familiar_name())),
        _ => (Kind::Internal, error.to_string()),
    };
    Error { kind, message, source: Some(Box::new(error)) }
}

/// An index has nothing for this platform.
pub(super) fn no_match(platform: &Platform) -> Error {
    Error::new(Kind::NotFound, format!("no matching manifest for {platform} in the manifest list entries"))
}

/// A manifest of the form that Docker left in 2016.
pub(super) fn schema1(name: &Reference) -> Error {
    let name = name.familiar();
    let message = format!(
        "Docker Image Format v1 and Docker Image manifest version 2, schema 1 are not supported. \
         Suggest the author of {name} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2"
    );
    Error::new(Kind::Invalid, message)
}

/// What the image store has against what came.
pub(super) fn unusable(error: dhow_image::Error) -> Error {
    match error {
        dhow_image::Error::Archive(reason) => Error::new(Kind::Internal, format!("failed to register layer: {reason}")),
        other => other.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dhow_registry::protocol::ErrorEntry;

    #[test]
    fn dockers_words() {
        let name = Reference::parse("r.example/x:1").unwrap();
        let check = |status: u16, code: &str, message: &str| {
            let entry = ErrorEntry { code: code.into(), message: message.into() };
            let error = translate(dhow_registry::Error::Refused { status, entry, retry_after: None }, &name);
            (error.kind, error.message)
        };
        for (status, code, message, kind, expect) in [
            (
                404,
                "MANIFEST_UNKNOWN",
                "manifest unknown",
                Kind::NotFound,
                "manifest for r.example/x:1 not found: manifest unknown: manifest unknown",
            ),
            (404, "NAME_UNKNOWN", "no such", Kind::NotFound, "repository r.example/x not found: name unknown: no such"),
            (
                403,
                "DENIED",
                "requested access to the resource is denied",
                Kind::NotFound,
                "pull access denied for r.example/x, repository does not exist or may require 'docker login': denied: requested access to the \
                 resource is denied",
            ),
            (401, "UNAUTHORIZED", "authentication required", Kind::Internal, "unauthorized: authentication required"),
            (429, "TOOMANYREQUESTS", "slow down", Kind::Internal, "toomanyrequests: slow down"),
        ] {
            assert_eq!(check(status, code, message), (kind, expect.to_owned()));
        }
    }
}
