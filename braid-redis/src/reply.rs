//! Reading replies, in the forms of RESP3 and of RESP2 alike.

use crate::Frame;
use bytes::Bytes;

/// Whether there is nothing.
#[must_use]
pub fn is_null(frame: &Frame) -> bool {
    matches!(frame, Frame::Null)
}

/// The bytes of a text of any kind.
#[must_use]
pub fn as_bytes(frame: &Frame) -> Option<&Bytes> {
    match frame {
        Frame::BlobString { data, .. }
        | Frame::SimpleString { data, .. }
        | Frame::BigNumber { data, .. }
        | Frame::VerbatimString { data, .. } => Some(data),
        _ => None,
    }
}

/// The text of a text of any kind, if it is UTF-8.
#[must_use]
pub fn as_text(frame: &Frame) -> Option<&str> {
    std::str::from_utf8(as_bytes(frame)?).ok()
}

/// A number, or a text that is one.
#[must_use]
pub fn as_int(frame: &Frame) -> Option<i64> {
    match frame {
        Frame::Number { data, .. } => Some(*data),
        Frame::Boolean { data, .. } => Some(i64::from(*data)),
        _ => as_text(frame)?.parse().ok(),
    }
}

/// The elements of an array, a push, or an ordered set.
#[must_use]
pub fn as_array(frame: &Frame) -> Option<&[Frame]> {
    match frame {
        Frame::Array { data, .. } | Frame::Push { data, .. } => Some(data),
        _ => None,
    }
}

/// The elements of an array, taken out of it.
#[must_use]
pub fn into_array(frame: Frame) -> Option<Vec<Frame>> {
    match frame {
        Frame::Array { data, .. } | Frame::Push { data, .. } => Some(data),
        _ => None,
    }
}

/// Names and values: of a map, or of an array in which they take turns. `None` where the reply is neither, or a value is missing.
#[must_use]
pub fn as_pairs(frame: &Frame) -> Option<Vec<(&Frame, &Frame)>> {
    match frame {
        Frame::Map { data, .. } => Some(data.iter().collect()),
        Frame::Array { data, .. } if data.len() % 2 == 0 => Some(
            data.chunks_exact(2)
                .map(|pair| (&pair[0], &pair[1]))
                .collect(),
        ),
        _ => None,
    }
}

/// The value of a field of a map, or of an array in which names and values take turns.
#[must_use]
pub fn field<'a>(frame: &'a Frame, name: &str) -> Option<&'a Frame> {
    as_pairs(frame)?
        .into_iter()
        .find(|(key, _)| as_text(key) == Some(name))
        .map(|(_, value)| value)
}

/// The text of an error.
pub(crate) fn as_error(frame: &Frame) -> Option<String> {
    match frame {
        Frame::SimpleError { data, .. } => Some(data.to_string()),
        Frame::BlobError { data, .. } => Some(String::from_utf8_lossy(data).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &'static str) -> Frame {
        Frame::BlobString {
            data: Bytes::from_static(text.as_bytes()),
            attributes: None,
        }
    }

    fn array(data: Vec<Frame>) -> Frame {
        Frame::Array {
            data,
            attributes: None,
        }
    }

    #[test]
    fn maps_are_read_in_both_forms() {
        let flat = array(vec![text("lag"), text("3"), text("name"), text("g")]);
        let map = Frame::Map {
            data: [(text("lag"), text("3")), (text("name"), text("g"))].into(),
            attributes: None,
        };
        for frame in [flat, map] {
            assert_eq!(field(&frame, "lag").and_then(as_int), Some(3));
            assert_eq!(field(&frame, "name").and_then(as_text), Some("g"));
            assert!(field(&frame, "none").is_none());
            assert_eq!(as_pairs(&frame).map(|pairs| pairs.len()), Some(2));
        }
        assert!(as_pairs(&array(vec![text("odd")])).is_none());
        assert!(as_pairs(&Frame::Null).is_none());
    }

    #[test]
    fn a_frame_of_another_kind_is_none() {
        assert!(is_null(&Frame::Null));
        assert_eq!(as_int(&text("x")), None);
        assert_eq!(as_text(&array(Vec::new())), None);
        assert_eq!(as_array(&text("x")), None);
        assert_eq!(into_array(array(vec![text("x")])), Some(vec![text("x")]));
        let error = Frame::SimpleError {
            data: "ERR no".into(),
            attributes: None,
        };
        assert_eq!(as_error(&error).as_deref(), Some("ERR no"));
        assert_eq!(as_bytes(&error), None);
    }
}
