# The image of streamgate, for the architecture that it is built on. `make image ENGINE=docker` gives the arguments;
# scripts/image/pack, which makes the same without an engine, reads USER and LABEL from here.

FROM rust:1.95-bookworm AS build
WORKDIR /streamgate
COPY scripts/install-tools scripts/
RUN scripts/install-tools image
COPY . .
ARG SOURCE_DATE_EPOCH=0
RUN make binaries && touch --date="@$SOURCE_DATE_EPOCH" target/image/binaries/*

FROM scratch
ARG VERSION
ARG REVISION
COPY --from=build /streamgate/target/image/binaries/ /
USER 65532:65532
LABEL org.opencontainers.image.title="streamgate"
LABEL org.opencontainers.image.description="MQTT ingress for Kubernetes: proxy, operator and config-sync"
LABEL org.opencontainers.image.licenses="Apache-2.0"
LABEL org.opencontainers.image.source="https://github.com/streamgate/streamgate"
LABEL org.opencontainers.image.documentation="https://github.com/streamgate/streamgate/blob/main/README.md"
LABEL org.opencontainers.image.version="$VERSION"
LABEL org.opencontainers.image.revision="$REVISION"
