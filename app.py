"""Forget: ``streamlit run app.py``. Page configuration and navigation, nothing else."""

from ui.frame import navigate

navigate().run()
