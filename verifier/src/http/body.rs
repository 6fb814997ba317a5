//! A request's body: within a size and a time, unpacked where the client packed it, and only when all bodies together leave
//! room for it ([`Rooms`]): what waits is held in memory.
//!
//! One that is too long is read to its end all the same, up to a limit, and thrown away: a client that is still sending does
//! not see an answer, and a broken connection is not what it should be told.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::Request;
use axum::http::header;
use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Service;
use super::error::HttpError;

/// How much more than the limit is read and thrown away before the connection is closed on the client.
const DRAINED: usize = 16;

/// The whole body as the client meant it. Its room is the request's [`Room`], for as long as anyone has that.
pub(super) async fn body_of(service: &Service, request: Request) -> Result<Bytes, HttpError> {
    let config = service.config();
    let limit = config.max_body;
    let coding = coding(&request)?;
    let room = request.extensions().get::<Room>().cloned().unwrap_or_default();
    let most = length(&request).filter(|_| coding == Coding::Identity).unwrap_or(limit).min(limit);
    let taken = tokio::time::timeout(config.body_timeout, service.rooms.take(most)).await;
    room.hold(taken.map_err(|_elapsed| {
        service.metrics.rejected("bodies_full");
        HttpError::BodiesFull { limit: service.rooms.most }
    })?);
    let whole = within(config.body_timeout, received(request.into_body(), limit)).await?;
    let whole = match coding {
        Coding::Identity => whole,
        coding => tokio::task::block_in_place(|| unpacked(&whole, coding, limit))?,
    };
    room.keep(whole.len());
    Ok(whole)
}

/// What the client says that the body has.
fn length(request: &Request) -> Option<usize> {
    request.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// How much room there is for the bodies of all requests, from before a body is read until its request is answered.
pub(super) struct Rooms {
    most: usize,
    /// In units of [`UNIT`] bytes.
    free: Arc<Semaphore>,
}

const UNIT: usize = 1024;

impl Rooms {
    pub(super) fn new(most: usize) -> Rooms {
        Rooms { most, free: Arc::new(Semaphore::new(units(most) as usize)) }
    }

    /// Room for so many bytes, in order of asking; for more than there ever is, all there is.
    async fn take(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = units(bytes.min(self.most));
        self.free.clone().acquire_many_owned(wanted).await.ok()
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

/// One request's part of [`Rooms`]; given back with the last copy.
#[derive(Clone, Default)]
pub(super) struct Room(Arc<Mutex<Option<OwnedSemaphorePermit>>>);

impl Room {
    fn hold(&self, permit: Option<OwnedSemaphorePermit>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = permit;
    }

    /// Gives back what the body did not need.
    fn keep(&self, bytes: usize) {
        if let Some(permit) = &mut *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            drop(permit.split(permit.num_permits().saturating_sub(units(bytes) as usize)));
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Identity,
    Gzip,
    Zstd,
}

fn coding(request: &Request) -> Result<Coding, HttpError> {
    let Some(value) = request.headers().get(header::CONTENT_ENCODING) else { return Ok(Coding::Identity) };
    match value.to_str().unwrap_or_default().trim().to_ascii_lowercase().as_str() {
        "" | "identity" => Ok(Coding::Identity),
        "gzip" | "x-gzip" => Ok(Coding::Gzip),
        "zstd" => Ok(Coding::Zstd),
        _ => {
            Err(HttpError::NotJson(format!("expected Content-Encoding gzip or zstd, or none, got {value:?}")))
        }
    }
}

async fn within<T>(time: Duration, work: impl Future<Output = Result<T, HttpError>>) -> Result<T, HttpError> {
    tokio::time::timeout(time, work).await.unwrap_or(Err(HttpError::BodyTimeout(time)))
}

async fn received(mut body: Body, limit: usize) -> Result<Bytes, HttpError> {
    let mut whole = Vec::new();
    let mut length = 0_usize;
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        let frame = frame.map_err(|error| HttpError::Malformed(format!("the body broke off: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        length = length.saturating_add(data.len());
        if length <= limit {
            whole.extend_from_slice(&data);
        } else if length <= limit.saturating_mul(DRAINED) {
            whole = Vec::new();
        } else {
            break;
        }
    }
    if length > limit { Err(HttpError::TooLarge { limit }) } else { Ok(whole.into()) }
}

/// At most `limit` bytes, of which no more are made.
fn unpacked(packed: &[u8], coding: Coding, limit: usize) -> Result<Bytes, HttpError> {
    let broken =
        |error: &dyn std::fmt::Display| HttpError::Malformed(format!("the body is not {coding:?}: {error}"));
    let mut whole = Vec::new();
    let most = limit as u64 + 1;
    match coding {
        Coding::Identity => whole.extend_from_slice(packed),
        Coding::Gzip => {
            MultiGzDecoder::new(packed).take(most).read_to_end(&mut whole).map_err(|error| broken(&error))?;
        }
        Coding::Zstd => {
            let decoder = StreamingDecoder::new(packed).map_err(|error| broken(&error))?;
            decoder.take(most).read_to_end(&mut whole).map_err(|error| broken(&error))?;
        }
    }
    if whole.len() > limit { Err(HttpError::TooLarge { limit }) } else { Ok(whole.into()) }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn a_packed_body_is_unpacked_up_to_the_limit() {
        let text = b"{\"a\": [1, 1, 1, 1, 1, 1, 1]}".repeat(100);
        for (packed, coding) in [(gzip(&text), Coding::Gzip), (zstd(&text), Coding::Zstd)] {
            assert!(packed.len() < text.len());
            assert_eq!(unpacked(&packed, coding, text.len()).unwrap(), text);
            let error = unpacked(&packed, coding, text.len() - 1).unwrap_err();
            assert_eq!(error, HttpError::TooLarge { limit: text.len() - 1 });
            for broken in [&packed[..packed.len() / 2], b"nothing of the kind"] {
                let error = unpacked(broken, coding, text.len()).unwrap_err();
                assert!(matches!(error, HttpError::Malformed(_)), "{coding:?}: {error:?}");
            }
        }
    }
}
