"""What the pages share: widgets, jobs, charts, caches. The only part that knows Streamlit."""
