//! Requests that are sent without the SDK's orchestrator, beside those that it sends.

use super::*;

/// What the orchestrator adds to each request by itself, and what follows from it and from the time.
const OF_ONE_REQUEST: [&str; 4] = ["amz-sdk-invocation-id", "amz-sdk-request", "authorization", "x-amz-date"];

const ODD_NAMES: [&str; 10] =
    ["film", "a b+c", "../up/./here", "/leading//twice/", "日本/é", "100%25", "q?x=1&y", "~*'()!", "a\u{1}b", "%"];

fn is_direct(request: &Request) -> bool {
    !request.headers.contains_key("amz-sdk-invocation-id")
}

impl Cloud {
    /// The requests of an operation, the first one first.
    fn requests(&self, operation: &str) -> Vec<Request> {
        let state = self.state.lock().expect("no panics");
        state.log.iter().filter(|request| operation_of(request) == operation).cloned().collect()
    }
}

async fn fetch_named(store: &S3Store, name: &str) -> Option<Item> {
    store.fetch(&[key_named(name)], Depth::Evidence).await.expect("a fetch").pop().expect("one answer")
}

/// What a signature says of itself, but for itself: who signed, for where, and which headers.
fn signed(request: &Request) -> (String, Vec<String>) {
    let text = &request.headers["authorization"];
    let (who, rest) = text.split_once(", SignedHeaders=").expect("signed headers");
    let (names, _) = rest.split_once(", Signature=").expect("a signature");
    let names = names.split(';').filter(|name| !OF_ONE_REQUEST.contains(name)).map(str::to_owned);
    (who.to_owned(), names.collect())
}

#[tokio::test]
async fn they_are_what_the_sdk_would_have_sent() {
    for name in ODD_NAMES {
        let cloud = Cloud::start().await;
        cloud.put(&format!("home/{name}"), Object::single(1, 100).with("x-amz-tagging-count", "1"));
        let store = cloud.store(Side::Primary, 5 * 1024).await;
        let (first, second) = (fetch_named(&store, name).await, fetch_named(&store, name).await);
        assert!(first.is_some() && first == second, "{name:?}");
        let heads = cloud.requests("head");
        assert_eq!(heads.iter().map(is_direct).collect::<Vec<_>>(), [false, true], "{name:?}");
        let others = |request: &Request| {
            let mut headers: Vec<_> = request.headers.clone().into_iter().collect();
            headers.retain(|(name, _)| !OF_ONE_REQUEST.contains(&name.as_str()));
            headers.sort();
            headers
        };
        assert_eq!(heads[0].target, heads[1].target, "{name:?}");
        assert_eq!(others(&heads[0]), others(&heads[1]), "{name:?}");
        assert_eq!(signed(&heads[0]), signed(&heads[1]), "{name:?}");
        // The way is known before the first reply, so that tags are asked for on it at once.
        let tags = cloud.requests("tags");
        assert!(tags.len() == 2 && tags.iter().all(is_direct), "{name:?}");
        assert_eq!(tags[0].target.replace("?tagging", ""), heads[0].target, "{name:?}");
    }
}

#[tokio::test]
async fn their_signatures_are_those_of_the_key() {
    let cloud = Cloud::start().await;
    cloud.put("home/a b+c", Object::single(1, 100).with("x-amz-tagging-count", "1"));
    let store = cloud.store(Side::Primary, 5 * 1024).await;
    for _ in 0..2 {
        assert!(fetch_named(&store, "a b+c").await.is_some());
    }
    let sent = [cloud.requests("head"), cloud.requests("tags")].concat();
    assert_eq!(sent.iter().filter(|request| is_direct(request)).count(), 3);
    for request in sent {
        let expected = signature(&request, "us-east-1", &peers::side_on_port(cloud.port, "us-east-1"));
        assert!(request.headers["authorization"].ends_with(&format!("Signature={expected}")), "{request:?}");
    }
}

/// The signature of a request without a body by the steps that AWS writes down (Signature Version 4).
fn signature(request: &Request, region: &str, reached: &failback::profile::SideProfile) -> String {
    use sha2::Sha256;
    let hash = |text: &[u8]| hex::encode(<Sha256 as sha2::Digest>::digest(text));
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> =
        pairs.map(|pair| if pair.contains('=') { pair.to_owned() } else { format!("{pair}=") }).collect();
    pairs.sort();
    let authorization = &request.headers["authorization"];
    let names = authorization.split_once("SignedHeaders=").and_then(|(_, rest)| rest.split_once(','));
    let names = names.expect("signed headers").0;
    let headers: String = names.split(';').map(|name| format!("{name}:{}\n", request.headers[name])).collect();
    let body = &request.headers["x-amz-content-sha256"];
    let canonical = format!("{}\n{path}\n{}\n{headers}\n{names}\n{body}", request.method, pairs.join("&"));
    let date = &request.headers["x-amz-date"];
    let scope = format!("{}/{region}/s3/aws4_request", &date[..8]);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hash(canonical.as_bytes()));
    let secret = &reached.credentials.as_ref().expect("credentials").secret_access_key.0;
    let key = scope.split('/').fold(format!("AWS4{secret}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    hex::encode(hmac(&key, text.as_bytes()))
}

/// HMAC with SHA-256 (RFC 2104).
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    use sha2::Sha256;
    let hash = |parts: [&[u8]; 2]| <Sha256 as sha2::Digest>::digest(parts.concat());
    assert!(key.len() <= 64, "keys here fit into a block");
    let padded = |pad: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    hash([&padded(0x5c), &hash([&padded(0x36), message])]).to_vec()
}

#[tokio::test]
async fn both_ways_tell_the_same_of_every_object() {
    let plain = || Object::single(3, 100);
    let objects = [
        ("plain", plain()),
        ("in parts", Object::in_parts(3, &[5 * MIB, 7])),
        ("empty", Object::single(3, 0)),
        ("class", plain().with("x-amz-storage-class", "GLACIER")),
        ("metadata", plain().with("x-amz-meta-a", "=?UTF-8?B?w6k=?=").with("x-amz-meta-B", "c")),
        ("missing metadata", plain().with("x-amz-missing-meta", "2")),
        ("expires", plain().with("expires", "Fri, 20 Nov 2026 00:00:00 GMT")),
        ("expires at no time", plain().with("expires", "never")),
        ("customer key", plain().with("customer-key", "yes")),
        ("checksums", plain().with("x-amz-checksum-crc32", "AAAAAA==").with("x-amz-checksum-type", "FULL_OBJECT")),
        (
            "headers",
            plain().with("content-type", "a/b").with("cache-control", "no-store").with("content-encoding", "gzip"),
        ),
        ("marker", plain().with("x-amz-delete-marker", "true")),
        ("a number that is none", plain().with("x-amz-mp-parts-count", "many")),
    ];
    let cloud = Cloud::start().await;
    cloud.put("home/first", plain());
    let known = cloud.store(Side::Primary, 5 * 1024).await;
    assert!(fetch_named(&known, "first").await.is_some());
    for (name, object) in objects {
        cloud.put(&format!("home/{name}"), object);
        let told = |read: failback::store::Result<Vec<Option<Item>>>| read.map_err(|error| error.to_string());
        let direct = told(known.fetch(&[key_named(name)], Depth::Evidence).await);
        let fresh = cloud.store(Side::Primary, 5 * 1024).await;
        let by_sdk = told(fresh.fetch(&[key_named(name)], Depth::Evidence).await);
        assert_eq!(direct, by_sdk, "{name}");
    }
    let heads = cloud.requests("head");
    assert!(heads.iter().filter(|request| is_direct(request)).count() >= 13, "each was asked for directly first");
}

#[tokio::test]
async fn what_is_not_plainly_answered_is_asked_by_the_sdk() {
    let cloud = Cloud::start().await;
    cloud.put("home/film", Object::single(1, 100));
    let store = cloud.store(Side::Primary, 5 * 1024).await;
    let whole = fetch(&store, Depth::Evidence).await.expect("there");
    let mut asked = cloud.count("head");
    for status in [500, 503, 206, 304, 301] {
        cloud.instead("head", || Reply::of(status, ""), 1);
        assert_eq!(fetch(&store, Depth::Evidence).await.as_ref(), Some(&whole), "{status}");
        let heads = cloud.requests("head").split_off(asked);
        asked += heads.len();
        assert_eq!(heads.iter().map(is_direct).collect::<Vec<_>>(), [true, false], "{status}");
    }
    // What is not there is known from one request.
    assert_eq!(fetch_named(&store, "nothing").await, None);
    assert_eq!(cloud.count("head"), asked + 1);
    // Where the way is refused, nothing is asked twice after that.
    cloud.instead("head", || Reply::of(403, ""), 1);
    for _ in 0..2 {
        assert_eq!(fetch(&store, Depth::Evidence).await.as_ref(), Some(&whole));
    }
    let heads = cloud.requests("head").split_off(asked + 1);
    assert_eq!(heads.iter().map(is_direct).collect::<Vec<_>>(), [true, false, false]);
}
