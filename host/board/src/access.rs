//! Who may look: whoever has the token of the printed address. The first visit puts it into a cookie.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, COOKIE, HOST, LOCATION, ORIGIN, REFERRER_POLICY, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse, Response};
use form_urlencoded::Serializer;

use crate::page::message;

/// Everything comes from the board itself; scripts and styles are files, never in a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The secret of a board, and the name of its cookie.
#[derive(Clone, Debug)]
pub(crate) struct Token {
    secret: String,
    cookie: String,
}

impl Token {
    /// A new one, from the system's random numbers. Cookies do not know ports, so the name has it: several boards on
    /// one machine do not take each other's.
    pub(crate) fn new(port: u16) -> Result<Self, getrandom::Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)?;
        Ok(Self { secret: lossmith_files::hex(&bytes), cookie: format!("lossmith-board-{port}") })
    }

    pub(crate) fn secret(&self) -> &str {
        &self.secret
    }

    /// Takes the same time wherever the first difference is.
    fn is(&self, given: &str) -> bool {
        given.len() == self.secret.len()
            && given.bytes().zip(self.secret.bytes()).fold(0, |so_far, (one, other)| so_far | (one ^ other)) == 0
    }

    fn is_in(&self, headers: &HeaderMap) -> bool {
        let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
        let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(name, _)| *name == self.cookie).any(|(_, value)| self.is(value))
    }
}

/// Lets a request through that has the token, and tells the browser of every answer what it may do.
pub(crate) async fn guard(State(token): State<Token>, request: Request, next: Next) -> Response {
    let mut response = match token_of(request.uri()) {
        Some(given) if token.is(&given) => entered(&token, request.uri()),
        Some(_) => refused("The token in this address is not the one of this board."),
        None if !token.is_in(request.headers()) => refused("This board is only for whoever started it."),
        None if !is_of_this_page(&request) => refused("This request comes from another page."),
        None => next.run(request).await,
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

fn token_of(uri: &Uri) -> Option<String> {
    let pairs = form_urlencoded::parse(uri.query()?.as_bytes());
    pairs.into_iter().find(|(name, _)| name == "token").map(|(_, value)| value.into_owned())
}

/// What changes something must come from a page of the board: a browser says where a request was made.
fn is_of_this_page(request: &Request<Body>) -> bool {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return true;
    }
    let text = |name| request.headers().get(name).and_then(|value| value.to_str().ok());
    match (text(ORIGIN), text(HOST)) {
        (Some(origin), Some(host)) => origin.strip_prefix("http://") == Some(host),
        _ => false,
    }
}

/// To the same place without the token, so that it stays neither in the address nor in the history.
fn entered(token: &Token, uri: &Uri) -> Response {
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    let mut rest = Serializer::new(String::new());
    rest.extend_pairs(pairs.filter(|(name, _)| name != "token"));
    let rest = rest.finish();
    // Not what stands in the request: `//host` would lead away.
    let path = format!("/{}", uri.path().trim_start_matches('/'));
    let place = if rest.is_empty() { path } else { format!("{path}?{rest}") };
    let cookie = format!("{}={}; HttpOnly; SameSite=Lax; Path=/", token.cookie, token.secret);
    (StatusCode::SEE_OTHER, [(LOCATION, place), (SET_COOKIE, cookie)]).into_response()
}

fn refused(why: &str) -> Response {
    let text = format!("{why} Open the address that `lossmith board` printed, with all of its end.");
    (StatusCode::FORBIDDEN, Html(message("No entry", &text).into_string())).into_response()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a test")]

    use super::*;

    #[test]
    fn a_cookie_is_that_of_this_port_and_right_to_the_last_letter() {
        let token = Token::new(80).unwrap();
        let with = |cookie: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(COOKIE, cookie.parse().unwrap());
            token.is_in(&headers)
        };
        let secret = token.secret();
        assert_eq!(secret.len(), 32);
        assert!(with(&format!("a=b; lossmith-board-80={secret}; c=d")));
        let wrong =
            [format!("lossmith-board-81={secret}"), format!("lossmith-board-80={}0", &secret[1..]), String::new()];
        assert!(!wrong.iter().any(|cookie| with(cookie) && !cookie.ends_with(secret)));
    }

    #[test]
    fn the_way_in_stays_on_the_board() {
        let token = Token::new(80).unwrap();
        let place = |uri: &str| entered(&token, &uri.parse().unwrap()).headers()[LOCATION].to_str().unwrap().to_owned();
        assert_eq!(place("/run?name=a%26b&token=1"), "/run?name=a%26b");
        assert_eq!([place("/?token=1"), place("//elsewhere/?token=1")], ["/", "/elsewhere/"]);
    }
}
