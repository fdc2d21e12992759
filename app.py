"""Forget: ``streamlit run app.py``. The server, and in each tab the navigation; nothing else."""

from starlette.middleware import Middleware
from streamlit.starlette import App

from ui.frame import navigate
from ui.lifespan import lifespan
from ui.shell.gate import Gate
from ui.shell.messages import Messages

if __name__ == "__main__":  # Streamlit runs this file for every tab,
    navigate().run()
else:  # and imports it once, for the server
    app = App(__file__, lifespan=lifespan, middleware=[Middleware(Gate), Middleware(Messages)])
