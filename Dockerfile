# Two stages: the first builds the wheel and its environment, the second only runs it.
FROM python:3.11-slim AS build
WORKDIR /src
RUN python -m venv /opt/mailer
COPY pyproject.toml README.md ./
COPY mailer ./mailer
COPY workers ./workers
COPY templates ./templates
RUN /opt/mailer/bin/pip install --no-cache-dir .

FROM python:3.11-slim
RUN useradd --system --create-home --uid 10001 mailer && install -d -o mailer -m 0700 /srv/mailer
COPY --from=build /opt/mailer /opt/mailer
ENV PATH=/opt/mailer/bin:$PATH MAILER_HOME=/srv/mailer PYTHONUNBUFFERED=1
USER mailer
VOLUME /srv/mailer
EXPOSE 8000
CMD ["mailer", "web"]
