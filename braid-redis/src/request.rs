//! What is sent, and how.

use crate::Frame;
use fred::{
    clients::Client,
    error::Error as FredError,
    interfaces::{ClientLike, StreamsInterface},
    types::{CustomCommand, Key, Value},
};

/// A command before it is sent.
#[derive(Clone)]
pub(crate) enum Request {
    /// Any command. fred writes each to its socket at once.
    Any {
        name: &'static str,
        slot: u16,
        args: Vec<Value>,
    },
    /// XADD, which fred knows: it writes those that wait in its queue together.
    Append {
        slot: u16,
        stream: Key,
        fields: Vec<(Key, Value)>,
    },
}

impl Request {
    pub(crate) async fn send(self, client: &Client) -> Result<Frame, FredError> {
        match self {
            Self::Any { name, slot, args } => {
                let command = CustomCommand::new_static(name, slot, false);
                client.custom_raw(command, args).await
            }
            Self::Append { stream, fields, .. } => {
                let added = client.xadd(stream, false, None, "*", fields).await?;
                Ok(text(added))
            }
        }
    }

    /// Name, slot and arguments.
    pub(crate) fn into_parts(self) -> (&'static str, u16, Vec<Value>) {
        match self {
            Self::Any { name, slot, args } => (name, slot, args),
            Self::Append {
                slot,
                stream,
                fields,
            } => {
                let head = [stream.into(), Value::from_static_str("*")];
                let fields = fields
                    .into_iter()
                    .flat_map(|(name, value)| [name.into(), value]);
                ("XADD", slot, head.into_iter().chain(fields).collect())
            }
        }
    }
}

/// The frame that a reply's text was in.
fn text(value: Value) -> Frame {
    let data = match value {
        Value::String(text) => text.into_inner(),
        Value::Bytes(bytes) => bytes,
        _ => return Frame::Null,
    };
    Frame::BlobString {
        data,
        attributes: None,
    }
}
