//! What is not there.

use crate::support::{Redis, Web};

#[test]
fn what_is_not_there_is_a_json_404() {
    let redis = Redis::absent();
    let web = Web::start(&redis, &[]);
    for path in
        ["/nothing", "/dashboards", "/live", "/hirefire", "/hirefire/x/info", "/hirefire//info"]
    {
        let answer = web.get(path);
        assert_eq!((answer.status, answer.error().is_empty()), (404, false), "{path}");
    }
    assert_eq!(web.request("DELETE", "/health", &[], b"").status, 405);
}
