"""Metadata, dependencies and extras. CONTRIBUTING.md says why each one is here."""

import pathlib
import re

import setuptools

_HERE = pathlib.Path(__file__).parent


def _version() -> str:
    text = (_HERE / "spl_tf" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


_BEAM = ["apache-beam>=2.60"]
_DEV = [
    *_BEAM,
    "hypothesis>=6.100",
    "jax>=0.4.30",
    "kubernetes-validate>=1.30",
    "playwright>=1.40",
    "pytest>=8",
    "pytest-xdist>=3.8",
    "ruff>=0.9",
    "scikit-learn>=1.4",
]

setuptools.setup(
    name="spl_tf",
    version=_version(),
    description=(
        "Pre-train video models on weakly-labeled web video with Sub-Pseudo Labels"
    ),
    long_description=(_HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=setuptools.find_packages(
        include=["spl_tf*", "experiments*", "tfrecords_tools*"]
    ),
    package_data={"spl_tf.analysis.report": ["templates/*"]},
    install_requires=[
        "absl-py>=2.0",
        "av>=17",
        "faiss-cpu>=1.8",
        "google-crc32c>=1.5",
        "importlib_resources>=5",
        "jinja2>=3.1",
        "keras>=3.5,<4",
        "matplotlib>=3.8",
        "ml-collections>=1.0",
        "numpy>=1.26",
        "opencv-python-headless>=4.10",
        "pillow>=10.2",
        "pyarrow>=15",
        "safetensors>=0.4.3",
        "scipy>=1.11",
        "simplejpeg>=1.8",
        "snowballstemmer>=2.2",
        "tensorboard>=2.17",
        "tensorflow>=2.17,<2.22",
        "tensorflow-datasets>=4.9.6",
        "tqdm>=4.66",
    ],
    extras_require={
        "beam": _BEAM,
        "dev": _DEV,
        "gpu": ["tensorflow[and-cuda]>=2.17,<2.22"],
        "torch": ["torch>=2.4"],
        "tfio": ["tensorflow==2.17.*", "tensorflow-io==0.37.1"],
    },
)
