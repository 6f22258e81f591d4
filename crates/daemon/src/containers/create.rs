//! `POST /containers/create`.

use crate::convert::request;
use crate::error::{Failure, Result};
use crate::http::{Cx, Reply, reply};
use dhow_api::types::{Config, CreateAnswer, CreateBody};
use http::StatusCode;

/// Validates, converts, makes.
pub(crate) async fn post(cx: Cx) -> Result<Reply> {
    let app = cx.app.clone();
    let version = cx.version;
    let name = cx.query.find("name").filter(|name| !name.is_empty()).map(str::to_owned);
    let platform = cx.query.get("platform").to_owned();
    let mut body: CreateBody = cx.json().await?;
    if body.config == Config::default() {
        return Err(Failure::invalid("config cannot be empty in order to create a container"));
    }
    request::from_older(&mut body, version);
    let image = app.engine.image(&body.config.image).await?;
    if !platform.is_empty() {
        check_platform(&platform, &body.config.image, &image.config.os().to_string(), &image.config.architecture().to_string())?;
    }
    let resolve = |name: &str| app.engine.container(name).map(|container| container.id.clone());
    let (mut wanted, mut warnings) = request::convert(body, &image.raw, &app.facts, &resolve).map_err(not_the_image)?;
    wanted.name = name;
    let (id, more) = app.engine.create(wanted).await.map_err(|error| not_the_image(error.into()))?;
    warnings.extend(more);
    reply::json_with(StatusCode::CREATED, &CreateAnswer { id, warnings })
}

/// To a client, "not found" means the image, which it then pulls: what else is missing is the fault of the request.
fn not_the_image(failure: Failure) -> Failure {
    if failure.0.status == 404 { Failure::invalid(failure.0.message) } else { failure }
}

fn check_platform(wanted: &str, image: &str, os: &str, arch: &str) -> Result<()> {
    let mut parts = wanted.split('/');
    let (first, second) = (parts.next().unwrap_or_default(), parts.next());
    let (wanted_os, wanted_arch) = match second {
        Some(arch) => (first, Some(arch)),
        None if first == "linux" => (first, None),
        None => ("linux", Some(first)),
    };
    let normal = |arch: &str| match arch {
        "x86_64" | "x86-64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    if wanted_os == os && wanted_arch.is_none_or(|wanted| normal(wanted) == arch) {
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
        let check = |wanted: &str| check_platform(wanted, "x", "linux", "amd64").map_err(|f| f.0.message);
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
