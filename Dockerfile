# syntax=docker/dockerfile:1
# docker buildx build --platform linux/amd64,linux/arm64 -t <registry>/arnkeeper:0.1.0 --push .
#
# The builder runs on the machine's own architecture and compiles for the other with a cross compiler: no emulation.
# The binary is linked statically with glibc, whose allocator keeps up with many threads, unlike musl's.
FROM --platform=$BUILDPLATFORM rust:1.95-bookworm AS build
ARG TARGETARCH
WORKDIR /src
RUN <<SETUP
set -eu
case $TARGETARCH in
  amd64) machine=x86_64 package=x86-64 ;;
  arm64) machine=aarch64 package=aarch64 ;;
  *) echo "no build for $TARGETARCH" >&2; exit 1 ;;
esac
if [ "$(dpkg --print-architecture)" != "$TARGETARCH" ]; then
  apt-get update
  # The C compiler is for aws-lc; libc6-dev-…-cross has the libc.a to link with.
  apt-get install -y --no-install-recommends gcc-$package-linux-gnu libc6-dev-$TARGETARCH-cross
  rm -rf /var/lib/apt/lists/*
fi
rustup target add $machine-unknown-linux-gnu
echo $machine-unknown-linux-gnu >/target
SETUP
COPY . .
ENV RUSTFLAGS="-C target-feature=+crt-static" \
    CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_LINKER=x86_64-linux-gnu-gcc \
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc
# The caches are kept between builds; two architectures that build at once do not share the second.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,id=target-$TARGETARCH,target=/src/target \
    cargo build --locked --release --package arnkeeper --bin arnkeeper --target "$(cat /target)" \
    && cp "target/$(cat /target)/release/arnkeeper" /arnkeeper

# CA certificates, time zones and the user 65532; no shell, no package manager, no libc.
FROM gcr.io/distroless/static-debian12:nonroot
LABEL org.opencontainers.image.title="arnkeeper" \
      org.opencontainers.image.description="Private certificates for Kubernetes and AWS Certificate Manager, renewed under one ARN" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY LICENSE /LICENSE
COPY --from=build /arnkeeper /arnkeeper
# One heap for all threads: what one of them frees, the others use (a fifth less memory with 10,000 Certificates).
ENV MALLOC_ARENA_MAX=1
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/arnkeeper"]
CMD ["run"]
