//! The Standard Webhooks signature.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;

/// What `WEBHOOK_SECRET` holds. Not printable on purpose.
#[derive(Clone)]
pub struct SigningKey(hmac::Key);

impl SigningKey {
    /// `whsec_` and base64, the notation of the specification; anything else is taken as the key's bytes.
    /// `None` for a secret that is neither.
    pub fn parse(secret: &str) -> Option<SigningKey> {
        let bytes = match secret.strip_prefix("whsec_") {
            Some(encoded) => STANDARD.decode(encoded).ok().filter(|bytes| !bytes.is_empty())?,
            None => secret.as_bytes().to_vec(),
        };
        let printable = secret.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        printable.then(|| SigningKey(hmac::Key::new(hmac::HMAC_SHA256, &bytes)))
    }

    /// The value of `webhook-signature`: the id and the time are signed too, so neither can be changed in a replay.
    pub fn sign(&self, id: &str, timestamp: u64, body: &str) -> String {
        let signed = format!("{id}.{timestamp}.{body}");
        format!("v1,{}", STANDARD.encode(hmac::sign(&self.0, signed.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_specifications_example() {
        let key = SigningKey::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature =
            key.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, r#"{"test": 2432232314}"#);
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_without_the_prefix_is_its_own_bytes() {
        let plain = SigningKey::parse("abc").unwrap().sign("id", 1, "{}");
        let encoded = SigningKey::parse("whsec_YWJj").unwrap().sign("id", 1, "{}");
        assert_eq!(plain, encoded);
    }

    #[test]
    fn a_broken_secret_is_no_key() {
        for secret in ["whsec_", "whsec_*", "a\nb", "whsec_YWJ"] {
            assert!(SigningKey::parse(secret).is_none(), "{secret:?}");
        }
    }
}
