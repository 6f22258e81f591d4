//! What a conversion asks of the engine.

/// Looks a container's id up by name.
pub(super) type Resolve<'a> = dyn Fn(&str) -> dhow_engine::error::Result<String> + 'a;
