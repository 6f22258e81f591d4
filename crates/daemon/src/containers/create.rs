//! `POST /containers/create`.

use super::{content_type, run};
use crate::convert::{mounts, request, versions};
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use crate::images::specifier;
use dhow_api::ApiVersion;
use dhow_api::types::{Config, CreateAnswer, CreateBody};
use dhow_engine::{Image, Platform};
use dhow_reference::platform::Platform as Specifier;
use http::StatusCode;

/// A header of our own client's: the container is started next. One that removes itself is by anybody's.
const STARTS: &str = "dhow-starts";

/// Validates, converts, makes.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    let app = cx.app.clone();
    let version = cx.version;
    let name = cx.query.find("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let platform = if cx.since(41) { cx.query.get("platform").to_owned() } else { String::new() };
    let platform = if platform.is_empty() { None } else { Some(specifier::parse(&platform)?) };
    let run = run::asked(&cx);
    let (client, said) = (cx.slot.peer, run.is_some() || cx.headers.contains_key(STARTS));
    let slot = cx.slot.clone();
    // What is said in the head is known before the body is read.
    if let Some(client) = client.filter(|_| said) {
        app.engine.expect_start(client).await;
    }
    let mut body: CreateBody = cx.json().await?;
    if let Some(client) = client.filter(|_| !said && body.host_config.as_ref().is_some_and(|host| host.auto_remove)) {
        app.engine.expect_start(client).await;
    }
    if body.config == Config::default() {
        return Err(Failure::invalid("config cannot be empty in order to create a container"));
    }
    let later = versions::adapt(&mut body, version)?;
    let mut image = app.engine.image(&body.config.image).await?;
    let mut other = None;
    if let Some(platform) = &platform {
        let made_for = |image: &Image| (image.config.os().to_string(), image.config.architecture().to_string());
        let (os, architecture) = made_for(&image);
        if let Err(wrong) = check_platform(platform, &body.config.image, &os, &architecture) {
            // Another image of the same index may be the one.
            let wanted = wanted_platform(platform);
            image = app.engine.image_for(&body.config.image, Some(&wanted)).await.map_err(|_| wrong)?;
            other = Some(image.id.clone());
        }
    }
    let (tty, removed) = (body.config.tty, body.host_config.as_ref().is_some_and(|host| host.auto_remove));
    let resolve = |name: &str| app.engine.container(name).map(|container| container.id.clone());
    let (mut wanted, mut warnings) = request::convert(body, &image.raw, &app.facts, &resolve).map_err(not_the_image)?;
    wanted.name = name;
    if version < ApiVersion::v1(44) {
        mounts::leave_below_alone(&mut wanted.host.mounts);
    }
    let (id, more) = app.engine.create_of(wanted, other, run.is_some()).await.map_err(|error| not_the_image(error.into()))?;
    warnings.extend(more);
    warnings.extend(later);
    if let Some(run) = run.filter(|_| warnings.is_empty()) {
        return run.go(app, slot, &id, content_type(tty, version), removed).await;
    }
    reply::json_with(StatusCode::CREATED, &CreateAnswer { id, warnings })
}

/// To a client, "not found" means the image, which it then pulls: what else is missing is the fault of the request.
fn not_the_image(failure: Failure) -> Failure {
    if failure.0.status == 404 { Failure::invalid(failure.0.message) } else { failure }
}

/// The variant does not count: a machine runs what is made for older ones.
fn wanted_platform(specifier: &Specifier) -> Platform {
    Platform { os: specifier.os.clone(), architecture: specifier.architecture.clone(), variant: String::new() }
}

fn check_platform(wanted: &Specifier, image: &str, os: &str, arch: &str) -> Result<()> {
    let made_for = Platform { os: os.to_owned(), architecture: arch.to_owned(), variant: String::new() };
    if wanted_platform(wanted).accepts(&made_for) {
        return Ok(());
    }
    Err(Failure::not_found(format!(
        "image with reference {image} was found but its platform ({os}/{arch}) does not match the specified platform ({wanted})"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms() {
        let check = |wanted: &str| {
            check_platform(&specifier::parse(wanted).unwrap_or_else(|f| panic!("{}", f.0.message)), "x", "linux", "amd64")
                .map_err(|f| f.0.message)
        };
        assert_eq!(check("linux/amd64"), Ok(()));
        assert_eq!(check("linux/x86_64/v3"), Ok(()));
        assert_eq!(check("amd64"), Ok(()));
        assert_eq!(
            check("linux/arm64"),
            Err("image with reference x was found but its platform (linux/amd64) does not match the specified platform (linux/arm64)"
                .into())
        );
    }
}
