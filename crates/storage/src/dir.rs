//! dir form
