//! What is written is read again, however it is cut; what others write is never trusted.

use super::*;
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::{collection::vec, prelude::*};

type Frames = Vec<Result<Frame<Bytes>, &'static str>>;

/// A response's status, headers and frames.
struct Written {
    status: u16,
    headers: Vec<(&'static str, String)>,
    frames: Frames,
}

impl Written {
    fn new(frames: Frames) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            frames,
        }
    }

    fn with(mut self, key: &'static str, value: &str) -> Self {
        self.headers.push((key, value.to_owned()));
        self
    }

    fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    fn read(self, limit: usize) -> Result<Bytes, Status> {
        let mut response = Response::new(StreamBody::new(stream::iter(self.frames)));
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap();
        *response.headers_mut() = map(&self.headers);
        let lost = |fault: &str| Status::data_loss(fault);
        futures_util::FutureExt::now_or_never(read(response, limit, lost))
            .expect("all that there is to read is there")
    }
}

fn map(headers: &[(&'static str, String)]) -> HeaderMap {
    let entry = |(key, value): &(&'static str, String)| {
        let value = HeaderValue::from_str(value).unwrap();
        (HeaderName::from_static(key), value)
    };
    headers.iter().map(entry).collect()
}

fn data(bytes: &[u8]) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::copy_from_slice(bytes)))
}

fn trailers(entries: &[(&'static str, &str)]) -> Result<Frame<Bytes>, &'static str> {
    let entries: Vec<_> = entries.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
    Ok(Frame::trailers(map(&entries)))
}

fn ok() -> Result<Frame<Bytes>, &'static str> {
    trailers(&[("grpc-status", "0")])
}

fn framed(message: &[u8], gzip: bool) -> Bytes {
    request(message.len(), |buffer| buffer.put_slice(message), gzip).unwrap()
}

/// Cuts bytes into pieces of these sizes, and the rest.
fn cut(bytes: &[u8], sizes: &[usize]) -> Frames {
    let mut rest = bytes;
    let mut frames = Frames::new();
    for size in sizes {
        let (piece, behind) = rest.split_at((*size).min(rest.len()));
        frames.push(data(piece));
        rest = behind;
    }
    frames.push(data(rest));
    frames
}

fn refused(written: Written, code: Code, text: &str) {
    let status = written.read(100).unwrap_err();
    assert_eq!(status.code(), code, "{status}");
    assert!(status.message().contains(text), "{status}");
}

proptest! {
    #[test]
    fn a_message_survives_however_it_is_cut(
        message in vec(any::<u8>(), 0..2000),
        gzip: bool,
        sizes in vec(0usize..700, 0..8),
    ) {
        let mut frames = cut(&framed(&message, gzip), &sizes);
        frames.push(ok());
        let mut written = Written::new(frames);
        if gzip {
            written = written.with("grpc-encoding", "gzip");
        }
        prop_assert_eq!(written.read(3000).unwrap(), message);
    }

    #[test]
    fn whatever_a_peer_writes_there_is_no_panic_and_no_message_above_the_limit(
        pieces in vec(vec(any::<u8>(), 0..40), 0..6),
        flag in 0u8..3,
        length in 0u32..80,
        encoding in prop_oneof![Just(None), Just(Some("gzip")), Just(Some("identity")), Just(Some("snappy"))],
        status in prop_oneof![Just(None), any::<i32>().prop_map(|s| Some(s.to_string())), "[ -~]{0,6}".prop_map(Some)],
        in_headers: bool,
        http in prop_oneof![9 => Just(200u16), 1 => 100u16..1000],
        details in "[ -~]{0,12}",
        breaks: bool,
    ) {
        let mut frames = vec![data(&[flag])];
        frames.push(data(&length.to_be_bytes()));
        frames.extend(pieces.iter().map(|piece| data(piece)));
        let said: Vec<_> = status
            .into_iter()
            .flat_map(|status| [
                ("grpc-status", status),
                ("grpc-message", details.clone()),
                ("grpc-status-details-bin", details.clone()),
            ])
            .collect();
        if breaks {
            frames.push(Err("cut"));
        } else if !in_headers {
            frames.push(Ok(Frame::trailers(map(&said))));
        }
        let mut written = Written::new(frames).status(http);
        if in_headers {
            written.headers.extend(said);
        }
        if let Some(encoding) = encoding {
            written = written.with("grpc-encoding", encoding);
        }
        if let Ok(message) = written.read(50) {
            prop_assert!(message.len() <= 50);
        }
    }

    #[test]
    fn what_claims_to_be_compressed_may_be_anything(
        bytes in vec(any::<u8>(), 0..200),
        flip in any::<prop::sample::Index>(),
        with in any::<u8>(),
    ) {
        let _ = decompress(&bytes, 100);
        // Nearly right goes deeper.
        let mut nearly = compress(&bytes).unwrap();
        let place = flip.index(nearly.len());
        nearly[place] ^= with;
        if let Ok(message) = decompress(&nearly, 100) {
            prop_assert!(message.len() <= 100);
        }
    }
}

#[test]
fn a_request_is_one_buffer_of_prefix_and_message() {
    assert_eq!(framed(b"", false), &[0, 0, 0, 0, 0][..]);
    assert_eq!(framed(b"abc", false), &b"\0\0\0\0\x03abc"[..]);
    let compressed = framed(&[7; 1000], true);
    assert_eq!(compressed[0], 1);
    assert_eq!(compressed.len() - PREFIX, usize::from(compressed[4]));
    assert!(compressed.len() < 100);
}

#[test]
fn a_message_that_comes_in_one_piece_is_not_copied() {
    let body = framed(b"abc", false);
    let written = Written::new(vec![Ok(Frame::data(body.clone())), ok()]);
    assert_eq!(written.read(3).unwrap().as_ptr(), body[PREFIX..].as_ptr());
}

#[test]
fn an_error_keeps_its_code_its_text_and_its_details() {
    let said = [
        ("grpc-status", "8"),
        ("grpc-message", "50%25 too much"),
        ("grpc-status-details-bin", "AQID"),
        ("retry-after", "7"),
    ];
    let in_trailers = Written::new(vec![trailers(&said)]);
    let mut in_headers = Written::new(vec![]);
    let owned = said.map(|(key, value)| (key, value.to_owned()));
    in_headers.headers.extend(owned);
    for written in [in_trailers, in_headers] {
        let status = written.read(100).unwrap_err();
        assert_eq!(status.code(), Code::ResourceExhausted);
        assert_eq!(status.message(), "50% too much");
        assert_eq!(status.details(), [1, 2, 3]);
        assert_eq!(status.metadata().get("retry-after").unwrap(), "7");
    }
}

#[test]
fn details_that_are_no_base64_are_left_out() {
    let said = [("grpc-status", "5"), ("grpc-status-details-bin", "%%")];
    let status = Written::new(vec![trailers(&said)]).read(100).unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    assert!(status.details().is_empty());
}

#[test]
fn a_response_that_is_none_to_a_unary_call_is_refused_and_says_why() {
    use Code::{Internal, Unimplemented, Unknown};
    let one = framed(b"abc", false);
    let two = [&one[..], &one[..]].concat();
    let gzipped = framed(b"abc", true);
    let new = Written::new;
    refused(new(vec![ok()]), Internal, "no message");
    refused(new(vec![]).with("grpc-status", "0"), Internal, "no message");
    refused(new(vec![data(&two), ok()]), Internal, "more than one");
    let apart = vec![data(&one), data(&one), ok()];
    refused(new(apart), Internal, "more than one");
    refused(new(vec![data(&one[..6]), ok()]), Internal, "within");
    refused(new(vec![data(&one[..3]), ok()]), Internal, "within");
    refused(new(vec![data(&one)]), Unknown, "without a status");
    let silent = vec![data(&one), trailers(&[("x", "y")])];
    refused(new(silent), Internal, "no status");
    let strange = vec![data(&one), trailers(&[("grpc-status", "hello")])];
    refused(new(strange), Unknown, "");
    refused(new(vec![data(b"\x02\0\0\0\0"), ok()]), Internal, "flag");
    let unsaid = vec![data(&gzipped), ok()];
    refused(new(unsaid), Internal, "doesn't say how");
    let snappy = new(vec![data(&gzipped), ok()]).with("grpc-encoding", "snappy");
    refused(snappy, Unimplemented, "snappy");
    let garbage = new(vec![data(b"\x01\0\0\0\x02ab"), ok()]).with("grpc-encoding", "gzip");
    refused(garbage, Internal, "decompressed");
    refused(new(vec![data(&one), Err("cut")]), Code::DataLoss, "cut");
}

#[test]
fn a_response_that_is_not_grpc_is_judged_by_its_http_status() {
    for (http, code) in [
        (400, Code::Internal),
        (401, Code::Unauthenticated),
        (403, Code::PermissionDenied),
        (404, Code::Unimplemented),
        (429, Code::Unavailable),
        (500, Code::Unknown),
        (502, Code::Unavailable),
        (503, Code::Unavailable),
        (504, Code::Unavailable),
        (302, Code::Unknown),
    ] {
        let page = vec![data(b"<html>")];
        refused(Written::new(page).status(http), code, &http.to_string());
    }
}

#[test]
fn a_message_above_the_limit_is_refused_at_its_prefix() {
    // Not even its first byte has to come.
    let written = Written::new(vec![data(b"\0\xff\xff\xff\xff")]);
    refused(written, Code::ResourceExhausted, "limit of 100");
}

#[test]
fn a_small_message_that_decompresses_to_much_is_refused() {
    let bomb = framed(&vec![0; 1 << 20], true);
    assert!(bomb.len() < 2000);
    let written = Written::new(vec![data(&bomb), ok()]).with("grpc-encoding", "gzip");
    let status = written.read(1 << 19).unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(status.message().contains("limit of 524288"), "{status}");
}

#[test]
fn empty_frames_are_passed_over() {
    let one = framed(b"abc", false);
    let frames = vec![data(b""), data(&one), data(b""), ok()];
    assert_eq!(Written::new(frames).read(3).unwrap(), "abc");
}
