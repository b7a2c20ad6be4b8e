//! The name of an object among those of its kind, once in memory however many hold it.

use kube::Resource;
use std::{borrow::Borrow, fmt, sync::Arc};

/// `namespace/name`, or `name` where a kind has no namespaces. kube's `ObjectRef` has five strings of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// The key of this name.
    #[must_use]
    pub fn new(namespace: Option<&str>, name: &str) -> Self {
        Self(namespace.map_or_else(|| name.into(), |namespace| format!("{namespace}/{name}").into()))
    }

    /// The key of an object.
    #[must_use]
    pub fn of<K: Resource>(object: &K) -> Self {
        let meta = object.meta();
        Self::new(meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default())
    }

    /// The namespace, if the kind has any. No name holds a slash.
    #[must_use]
    pub fn namespace(&self) -> Option<&str> {
        self.0.split_once('/').map(|(namespace, _)| namespace)
    }

    /// The name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&*self.0, |(_, name)| name)
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_the_namespace_and_the_name() {
        let key = Key::new(Some("pay"), "app");
        assert_eq!((key.namespace(), key.name(), &*key.to_string()), (Some("pay"), "app", "pay/app"));
        let key = Key::new(None, "prod");
        assert_eq!((key.namespace(), key.name(), &*key.to_string()), (None, "prod", "prod"));
    }
}
