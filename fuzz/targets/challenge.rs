//! `WWW-Authenticate`.

#![no_main]

use dhow_registry::protocol::Challenge;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|header: &str| {
    let found = Challenge::parse(header);
    // What is understood is in the header, and is no more than it.
    let mut length = 0;
    for challenge in found {
        if let Challenge::Bearer { realm, service, scope } = challenge {
            length += realm.len() + service.unwrap_or_default().len() + scope.unwrap_or_default().len();
        }
    }
    assert!(length <= header.len());
});
