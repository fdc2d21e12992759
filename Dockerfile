# docker build -t forget .                        data fetched on first need, or mounted at /data
# docker build -t forget --build-arg DATA=baked . data fetched now: the image needs no network
# Publish it on localhost only: docker run -p 127.0.0.1:8501:8501 -v forget-data:/data forget
FROM python:3.11-slim

ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 FORGET_HOME=/data

WORKDIR /app

# Wheels only, so that no compiler is ever needed.
COPY requirements.txt constraints.txt ./
RUN pip install --no-cache-dir --only-binary :all: -r requirements.txt -c constraints.txt

RUN useradd --create-home --uid 1000 forget && install --directory --owner 1000 --group 1000 /data
COPY --chown=1000:1000 forget_downloads/ /data/
COPY .streamlit/config.toml .streamlit/
COPY app.py train_face.py train_mnist.py ./
COPY forget/ forget/
COPY pages/ pages/
COPY ui/ ui/

USER 1000:1000

ARG DATA=mounted
RUN if [ "$DATA" = baked ]; then python -m forget fetch; fi

VOLUME /data
EXPOSE 8501

HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8501/_stcore/health', timeout=4)"]

# Inside a container localhost is the container alone, so it must listen on every address.
CMD ["streamlit", "run", "app.py", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
