//! A unary call as gRPC writes it: the request's body, and what a response says.
//!
//! The one place where frames are written and read by hand (*gRPC over HTTP2*, `PROTOCOL-HTTP2.md` of the gRPC repository). Calls by name
//! take it: tonic's codec streams what is one message each way, at the price of two buffers of 8 KiB and several boxes a call. Typed clients
//! and the server have tonic's codec.

use crate::{limit::too_large, status::drop_malformed_details};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body::Body;
use std::{
    future::poll_fn,
    io::{self, Read as _, Write as _},
    pin::Pin,
};
use tonic::{Code, Status};

/// A flag, and the message's length.
const PREFIX: usize = 5;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");
const GZIP: HeaderValue = HeaderValue::from_static("gzip");

/// A request's headers, as far as they are the same for every call; with room for a few more.
pub(super) fn headers(gzip: bool) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(12);
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let content_type = HeaderValue::from_static("application/grpc");
    headers.insert(header::CONTENT_TYPE, content_type);
    headers.insert(ACCEPT_ENCODING, GZIP);
    if gzip {
        headers.insert(ENCODING, GZIP);
    }
    headers
}

/// The body of a request: prefix and message in one buffer, since two would travel in two frames.
///
/// # Errors
/// INTERNAL: the message can't be compressed.
pub(super) fn request(
    size: usize,
    write: impl FnOnce(&mut BytesMut),
    gzip: bool,
) -> Result<Bytes, Status> {
    let mut buffer = BytesMut::with_capacity(PREFIX + size);
    buffer.put_bytes(0, PREFIX);
    write(&mut buffer);
    if gzip {
        let compressed = compress(&buffer[PREFIX..]);
        let compressed = compressed.map_err(|error| {
            Status::internal(format!("the request can't be compressed: {error}"))
        })?;
        buffer.truncate(PREFIX);
        buffer.extend_from_slice(&compressed);
    }
    let length = u32::try_from(buffer.len() - PREFIX);
    let length = length.map_err(|_| too_large(buffer.len() - PREFIX, u32::MAX as usize))?;
    buffer[0] = gzip.into();
    buffer[1..PREFIX].copy_from_slice(&length.to_be_bytes());
    Ok(buffer.freeze())
}

/// Reads a response to its end. `lost` says what an error of the body means.
///
/// # Errors
/// What the response says. RESOURCE_EXHAUSTED: the message, or what it decompresses to, is larger than `limit` bytes. INTERNAL: it is no
/// response to a unary call.
///
/// # Cancel safety
/// Dropping the future drops the response.
pub(super) async fn read<B>(
    response: Response<B>,
    limit: usize,
    lost: impl FnOnce(B::Error) -> Status,
) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (mut head, mut body) = response.into_parts();
    if let Some(status) = status(&mut head.headers) {
        // Without a body these headers are all there is.
        status?;
        return Err(malformed("it has no message"));
    }
    if head.status != StatusCode::OK {
        return Err(not_grpc(head.status));
    }
    let mut reply = Reply::new(limit);
    loop {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => return Err(Status::unknown("the response ended without a status")),
            Some(Err(error)) => return Err(lost(error)),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => reply.take(data)?,
                Err(frame) => {
                    let mut trailers = frame.into_trailers().unwrap_or_default();
                    let said = status(&mut trailers);
                    said.unwrap_or_else(|| Err(malformed("its trailers say no status")))?;
                    return reply.message(head.headers.get(ENCODING));
                }
            },
        }
    }
}

/// What headers or trailers say of a call's end; `None` when they say nothing.
fn status(headers: &mut HeaderMap) -> Option<Result<(), Status>> {
    let code = headers.get(Status::GRPC_STATUS)?;
    if code.as_bytes() == b"0" {
        // Nothing else in them matters to a call by name.
        return Some(Ok(()));
    }
    drop_malformed_details(headers);
    Some(match Status::from_header_map(headers) {
        Some(status) if status.code() != Code::Ok => Err(status),
        _ => Err(Status::unknown("the response's status can't be read")),
    })
}

/// A response of something that isn't gRPC, as *HTTP to gRPC Status Code Mapping* has it.
fn not_grpc(status: StatusCode) -> Status {
    let code = match status.as_u16() {
        400 => Code::Internal,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::Unimplemented,
        429 | 502 | 503 | 504 => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(
        code,
        format!("the response is HTTP status {status}, not gRPC"),
    )
}

fn malformed(fault: &str) -> Status {
    Status::internal(format!("the response is malformed: {fault}"))
}

/// The message of a response, as far as it has come.
struct Reply {
    limit: usize,
    // What has come of the prefix and the message when it did not come in one piece.
    partial: BytesMut,
    message: Option<Message>,
}

struct Message {
    compressed: bool,
    bytes: Bytes,
}

impl Reply {
    fn new(limit: usize) -> Self {
        Self {
            limit,
            partial: BytesMut::new(),
            message: None,
        }
    }

    /// Takes the next bytes of the body.
    fn take(&mut self, mut data: Bytes) -> Result<(), Status> {
        if data.is_empty() {
            return Ok(());
        }
        if self.message.is_some() {
            return Err(malformed("it has more than one message"));
        }
        if self.partial.is_empty()
            && let Some((compressed, length)) = self.prefix(&data)?
            && data.len() == PREFIX + length
        {
            // The usual case: the frame is the message, and nothing is copied.
            data.advance(PREFIX);
            self.message = Some(Message {
                compressed,
                bytes: data,
            });
            return Ok(());
        }
        self.partial.extend_from_slice(&data);
        let Some((compressed, length)) = self.prefix(&self.partial)? else {
            return Ok(());
        };
        match self.partial.len().checked_sub(PREFIX + length) {
            None => {
                // At most the limit: it was checked.
                self.partial.reserve(PREFIX + length - self.partial.len());
                Ok(())
            }
            Some(0) => {
                let mut bytes = std::mem::take(&mut self.partial).freeze();
                bytes.advance(PREFIX);
                self.message = Some(Message { compressed, bytes });
                Ok(())
            }
            Some(_) => Err(malformed("it has more than one message")),
        }
    }

    /// What the prefix says, once there is enough of it: whether the message is compressed, and its length.
    fn prefix(&self, bytes: &[u8]) -> Result<Option<(bool, usize)>, Status> {
        let Some(([flag, length @ ..], _)) = bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(*length) as usize;
        if length > self.limit {
            return Err(too_large(length, self.limit));
        }
        match flag {
            0 => Ok(Some((false, length))),
            1 => Ok(Some((true, length))),
            _ => Err(malformed("its message begins with an unknown flag")),
        }
    }

    fn message(self, encoding: Option<&HeaderValue>) -> Result<Bytes, Status> {
        let Some(Message { compressed, bytes }) = self.message else {
            let fault = match self.partial.is_empty() {
                true => "it has no message",
                false => "it ends within a message",
            };
            return Err(malformed(fault));
        };
        if !compressed {
            return Ok(bytes);
        }
        match encoding {
            Some(encoding) if *encoding == GZIP => decompress(&bytes, self.limit),
            Some(encoding) => {
                let text = format!("the response has the encoding {encoding:?}; gzip is known");
                Err(Status::unimplemented(text))
            }
            None => Err(malformed("it is compressed and doesn't say how")),
        }
    }
}

fn compress(message: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(message)?;
    encoder.finish()
}

/// Stops at the limit, however much a small message would decompress to.
fn decompress(bytes: &[u8], limit: usize) -> Result<Bytes, Status> {
    let mut message = Vec::new();
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    let read = GzDecoder::new(bytes).take(most).read_to_end(&mut message);
    read.map_err(|error| malformed(&format!("it can't be decompressed: {error}")))?;
    if message.len() > limit {
        let text = format!("a message decompresses to more than the limit of {limit} bytes");
        return Err(Status::resource_exhausted(text));
    }
    Ok(message.into())
}

#[cfg(test)]
mod tests;
