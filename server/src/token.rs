//! What the right to change things is made of: the home's token, the cookie that a browser gets for it,
//! and the field that every form carries.

use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use axum::http::{HeaderMap, HeaderValue, header};

/// Seconds that a browser keeps its cookie: 30 days.
const KEPT: u32 = 2_592_000;

/// Made from a token; the token itself is not kept.
#[derive(Debug, Clone)]
pub struct Keys(blake3::Hash);

impl Keys {
    /// Of this token.
    pub fn of(token: &str) -> Keys {
        Keys(blake3::hash(token.trim().as_bytes()))
    }

    /// Compared as digests, which takes the same time wherever they differ.
    pub fn is_token(&self, given: &str) -> bool {
        self.0 == blake3::hash(given.trim().as_bytes())
    }

    /// Each home has a name of its own: browsers do not tell ports of a host apart.
    fn cookie_name(&self) -> String {
        let key = blake3::derive_key("rungs 2026 cookie name", self.0.as_bytes());
        format!("rungs-{}", hex(&key[..4]))
    }

    fn sealed(&self, purpose: &str, nonce: &str) -> blake3::Hash {
        let key = blake3::derive_key(purpose, self.0.as_bytes());
        blake3::keyed_hash(&key, nonce.as_bytes())
    }

    /// A cookie for one browser, as the value of `Set-Cookie`.
    pub fn new_cookie(&self) -> io::Result<String> {
        let nonce = hex(&random::<16>()?);
        let seal = self.sealed("rungs 2026 dashboard cookie", &nonce).to_hex();
        Ok(format!(
            "{}={nonce}.{seal}; Path=/; HttpOnly; SameSite=Strict; Max-Age={KEPT}",
            self.cookie_name()
        ))
    }

    /// The field that forms of this browser carry; `None` without a cookie that holds.
    pub fn form_field(&self, headers: &HeaderMap) -> Option<String> {
        let name = self.cookie_name();
        let pairs = text(headers, header::COOKIE)?
            .split(';')
            .filter_map(|pair| pair.trim().split_once('='));
        let mut nonces = pairs
            .filter(|(n, _)| *n == name)
            .filter_map(|(_, value)| value.split_once('.'))
            .filter(|(nonce, seal)| {
                let wanted = self.sealed("rungs 2026 dashboard cookie", nonce);
                blake3::Hash::from_hex(seal).is_ok_and(|seal| seal == wanted)
            });
        let (nonce, _) = nonces.next()?;
        Some(
            self.sealed("rungs 2026 dashboard form", nonce)
                .to_hex()
                .to_string(),
        )
    }

    /// Whether `Authorization: Bearer` holds the token.
    pub fn bears(&self, headers: &HeaderMap) -> bool {
        text(headers, header::AUTHORIZATION)
            .and_then(|v| v.strip_prefix("Bearer "))
            .is_some_and(|given| self.is_token(given))
    }
}

/// A header as text.
pub fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers
        .get(name)
        .and_then(|v: &HeaderValue| v.to_str().ok())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// 64 random hexadecimal digits.
pub fn draw() -> io::Result<String> {
    Ok(hex(&random::<32>()?))
}

/// The token that `RUNGS_TOKEN` or the file holds; a new one is drawn and written (mode 0600) where
/// there is none. Errors: a file that cannot be read or written (no home yet), or that holds no token.
pub fn token(file: &Path) -> io::Result<String> {
    if let Ok(token) = std::env::var("RUNGS_TOKEN")
        && !token.is_empty()
    {
        return Ok(token);
    }
    match std::fs::read_to_string(file) {
        Ok(text) if text.trim().len() >= 16 => return Ok(text.trim().to_owned()),
        Ok(_) => {
            return Err(io::Error::other(format!(
                "{} holds no token of 16 characters or more; delete it and a new one is drawn",
                file.display()
            )));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let token = draw()?;
    // Whole or not at all, and the first of two servers that draw at once wins.
    let draft = file.with_extension(format!("{}.draft", std::process::id()));
    let written = || -> io::Result<()> {
        let mut out = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)?;
        out.write_all(token.as_bytes())?;
        out.sync_all()?;
        std::fs::hard_link(&draft, file)
    };
    let outcome = written();
    if let Err(error) = std::fs::remove_file(&draft)
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(file = %draft.display(), %error, "cannot be removed");
    }
    match outcome {
        Ok(()) => Ok(token),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Ok(std::fs::read_to_string(file)?.trim().to_owned())
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie_header(cookie: &str) -> HeaderMap {
        let pair = cookie.split(';').next().expect("a pair");
        let mut headers = HeaderMap::new();
        headers.insert(
            header::COOKIE,
            HeaderValue::from_str(&format!("a=b; {pair}")).expect("ascii"),
        );
        headers
    }

    #[test]
    fn a_cookie_gives_a_form_field_of_its_own_and_only_where_it_was_made() {
        let keys = Keys::of("0123456789abcdef");
        let (one, two) = (
            keys.new_cookie().expect("drawn"),
            keys.new_cookie().expect("drawn"),
        );
        assert!(!one.contains("0123456789abcdef"));
        let field = keys.form_field(&cookie_header(&one)).expect("holds");
        assert_ne!(keys.form_field(&cookie_header(&two)), Some(field));
        assert_eq!(keys.form_field(&HeaderMap::new()), None);
        let forged = one.replacen('.', ".0", 1);
        assert_eq!(keys.form_field(&cookie_header(&forged)), None);
        let other = Keys::of("fedcba9876543210");
        assert_eq!(other.form_field(&cookie_header(&one)), None);
    }

    #[test]
    fn a_token_is_drawn_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().expect("a directory");
        let file = home.path().join("server.token");
        let first = token(&file).expect("drawn");
        assert_eq!(first.len(), 64);
        assert_eq!(token(&file).expect("read"), first);
        let mode = std::fs::metadata(&file)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        let left = std::fs::read_dir(home.path()).expect("listed").count();
        assert_eq!(left, 1, "no draft is left");
    }
}
