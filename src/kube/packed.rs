//! Objects in little memory: JSON, compressed by another one that is like them. Decoded, an object takes ten times as much.

use lz4_flex::block::{compress_prepend_size_with_dict, decompress_size_prepended_with_dict};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

/// A longer one is not what the others are compressed by: that would take each of them as much time.
const LONGEST_MODEL: usize = 16 << 10;

/// Packs what is alike: objects of one kind differ in names and times.
#[derive(Default)]
pub struct Packer {
    /// What new ones are compressed by.
    model: Arc<Vec<u8>>,
}

/// An object that [`Packer::pack`] packed.
pub struct Packed {
    model: Arc<Vec<u8>>,
    bytes: Box<[u8]>,
}

impl Packer {
    /// Packs an object; none, if it makes no JSON.
    pub fn pack<T: Serialize>(&mut self, object: &T) -> Option<Packed> {
        let text = serde_json::to_vec(object).ok()?;
        // One that has much more than the model has is a better model: the first ones may lack their status.
        if text.len() > self.model.len() * 3 / 2 && text.len() <= LONGEST_MODEL {
            self.model = Arc::new(text.clone());
        }
        let bytes = compress_prepend_size_with_dict(&text, &self.model).into_boxed_slice();
        Some(Packed { model: self.model.clone(), bytes })
    }
}

impl Packed {
    /// The object.
    ///
    /// # Errors
    /// None for the type that was packed, unless there is a fault in this program.
    pub fn unpack<T: DeserializeOwned>(&self) -> Result<T, String> {
        let text = decompress_size_prepended_with_dict(&self.bytes, &self.model).map_err(|e| e.to_string())?;
        serde_json::from_slice(&text).map_err(|e| e.to_string())
    }

    /// The bytes of its own.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}
