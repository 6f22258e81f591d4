//! What a runtime has to overlook in a specification's text, though the reader of it would not: capabilities that this kernel, or this
//! program, has never heard of are left out with a warning, as the runtime specification wants.

use oci_spec::runtime::Capability;
use serde_json::Value;

const SETS: [&str; 5] = ["bounding", "effective", "inheritable", "permitted", "ambient"];

/// Makes a specification's text one that can be read; the warnings name what was left out.
pub fn of_spec(spec: &mut Value) -> Vec<String> {
    spec.get_mut("process").map(of_process).unwrap_or_default()
}

/// The same of a process alone.
pub fn of_process(process: &mut Value) -> Vec<String> {
    let mut unknown: Vec<String> = Vec::new();
    for set in SETS {
        let Some(names) = process.pointer_mut(&format!("/capabilities/{set}")).and_then(Value::as_array_mut) else { continue };
        names.retain(|name| match name.as_str() {
            Some(text) if serde_json::from_value::<Capability>(name.clone()).is_err() => {
                if !unknown.iter().any(|known| known == text) {
                    unknown.push(text.to_owned());
                }
                false
            }
            // What is no text at all is an error of the reader's.
            _ => true,
        });
    }
    let flags = process.pointer_mut("/scheduler/flags").and_then(Value::as_array_mut);
    for flag in flags.into_iter().flatten().filter(|flag| *flag == "SCHED_FLAG_DL_OVERRUN") {
        // The reader spells it in its own way.
        *flag = "SCHED_FLAG_D_L_OVERRUN".into();
    }
    unknown.sort();
    // The words are runc's.
    let warning = || format!("ignoring unknown or unavailable capabilities: [{}]", unknown.join(" "));
    (!unknown.is_empty()).then(warning).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use oci_spec::runtime::{Process, Spec};
    use serde_json::json;

    #[test]
    fn unknown_capabilities_are_left_out() {
        let mut spec = json!({"ociVersion": "1.2.0", "process": {
            "user": {"uid": 0, "gid": 0}, "cwd": "/", "args": ["x"],
            "capabilities": {"bounding": ["CAP_NEW", "CAP_KILL"], "ambient": ["CAP_NEW", "CAP_OTHER"]},
            "scheduler": {"policy": "SCHED_DEADLINE", "flags": ["SCHED_FLAG_DL_OVERRUN", "SCHED_FLAG_RECLAIM"]},
        }});
        assert_eq!(of_spec(&mut spec), ["ignoring unknown or unavailable capabilities: [CAP_NEW CAP_OTHER]"]);
        let read: Spec = serde_json::from_value(spec.clone()).unwrap();
        let sets = read.process().as_ref().unwrap().capabilities().as_ref().unwrap();
        assert_eq!((sets.bounding().as_ref().unwrap().len(), sets.ambient().as_ref().unwrap().len()), (1, 0));
        assert_eq!(of_process(&mut spec["process"]), Vec::<String>::new());
    }

    #[test]
    fn what_is_wrong_stays_wrong() {
        let mut process = json!({"user": {"uid": 0, "gid": 0}, "cwd": "/", "capabilities": {"bounding": [5]}});
        assert!(of_process(&mut process).is_empty());
        assert!(serde_json::from_value::<Process>(process).is_err());
        assert!(of_spec(&mut json!([1])).is_empty() && of_spec(&mut json!({"process": 3})).is_empty());
    }
}
