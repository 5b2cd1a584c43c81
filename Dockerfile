# One image for the three programs: web (unless told otherwise), worker, jobs. They lie where the Procfile's lines find
# them, so a command is the same here, on a dyno and in a checkout.

FROM rust:1-slim-bookworm AS build
WORKDIR /app
# What others wrote is the most of a build: a layer of its own, good until Cargo.lock changes. The stand-in for our own
# source goes again with all that was built of it, for cargo goes by the times of files, and those of a checkout are older.
COPY Cargo.toml Cargo.lock ./
RUN mkdir -p src/bin \
    && touch src/lib.rs \
    && echo 'fn main() {}' >src/bin/web.rs \
    && cargo build --release --locked --lib \
    && cargo clean --release --package roustabout \
    && rm -r src
COPY src ./src
RUN cargo build --release --locked --bins

FROM debian:bookworm-slim
WORKDIR /app
# Certificate authorities, for rediss:// and webhooks: this base has none.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /app/target/release/web /app/target/release/worker /app/target/release/jobs ./target/release/
# Not root, and by number: that is what a cluster can check. The programs write no files.
USER 10001:10001
# No EXPOSE: web listens on PORT, and platforms that look for an EXPOSE would take it at its word. No shell around the
# program: TERM is for the program.
CMD ["./target/release/web"]
