# Needs Python (3.10 to 3.13) and make; bench also ffmpeg, test-s3 python3.11, and the
# tests of the report's page chromium.
PYTHON ?= python3
VENV := .venv
# tensorflow-io needs Python 3.11 or older and TensorFlow 2.17: its own environment.
S3_VENV := .venv-s3
BIN := $(VENV)/bin
RUN := $(BIN)/python -m experiments.run_pipeline --jobs=3 --threads=1
DEMO_DIR ?= runs/demo
# Warnings and errors only, of TensorFlow.
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: help demo table ablations omnisource omnisource-demo omnisource-studies \
    motionfit motionfit-demo motionfit-studies ig65m ig65m-demo ig65m-studies \
    test test-slow test-cluster test-s3 lint format bench clean
help:
	@echo "make demo       the whole experiment on rendered videos -> $(DEMO_DIR)/"
	@echo "make table      all strategies on two worlds and eight seeds -> runs/table_*"
	@echo "make ablations  what drives their order -> runs/ablation_*"
	@echo "make omnisource-demo     web images and videos beside a target set"
	@echo "make omnisource          the same in six rows on five seeds"
	@echo "make omnisource-studies  what matters in it, three seeds"
	@echo "make motionfit-demo     labels from motion for videos without any"
	@echo "make motionfit          the same in ten rows on five seeds"
	@echo "make motionfit-studies  what matters in it, three seeds"
	@echo "make ig65m-demo     pre-training on the hashtags of posts"
	@echo "make ig65m          the same in nine rows on five seeds"
	@echo "make ig65m-studies  what matters in it, three seeds"
	@echo "make test       the test suite"
	@echo "make test-slow  the tests that take longer"
	@echo "make test-cluster  the tests on a Slurm of two hosts (root, slurm-wlm, munge)"
	@echo "make test-s3    the tests of s3:// paths, with python3.11 and TensorFlow 2.17"
	@echo "make lint       ruff check and format check"
	@echo "make format     ruff fixes and formats in place"
	@echo "make bench      every benchmark at a small size (needs the ffmpeg program)"

# One stamp per set of extras; a changed setup.py installs again.
$(VENV)/installed: setup.py pyproject.toml
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/installed-dev: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	@touch $@

demo: $(VENV)/installed
	$(RUN) --config=experiments/spl/configs/synthetic.py --workdir=$(DEMO_DIR)

# An hour and five minutes on two cores; the same command goes on.
table: $(VENV)/installed
	$(RUN) --config=experiments/spl/configs/table.py:fa --workdir=runs/table_fa
	$(RUN) --config=experiments/spl/configs/table.py:fw --workdir=runs/table_fw

ABLATIONS := more_steps from_teacher fewer_siblings faint_sprites few_clips \
    fw_more_steps fw_from_teacher
ablations: $(addprefix ablation-,$(ABLATIONS))
ablation-%: $(VENV)/installed
	$(RUN) --config=experiments/spl/configs/ablation.py:$* --workdir=runs/ablation_$*

OMNISOURCE := experiments/omnisource/configs
omnisource-demo: $(VENV)/installed
	$(RUN) --config=$(OMNISOURCE)/synthetic.py --workdir=runs/omnisource_demo \
	    --seeds=0 --strategies=target,all

omnisource: $(VENV)/installed
	$(RUN) --config=$(OMNISOURCE)/synthetic.py --workdir=runs/omnisource

omnisource-studies: $(VENV)/installed
	$(RUN) --config=$(OMNISOURCE)/studies.py --workdir=runs/omnisource_studies
	for percent in 3 10 30 100; do \
	    $(RUN) --config=$(OMNISOURCE)/studies.py:figure_7_$$percent \
	        --workdir=runs/omnisource_figure_7_$$percent || exit; done

MOTIONFIT := experiments/motionfit/configs
motionfit-demo: $(VENV)/installed
	$(RUN) --config=$(MOTIONFIT)/synthetic.py --workdir=runs/motionfit_demo \
	    --seeds=0 --strategies=scratch_20,motionfit_20

motionfit: $(VENV)/installed
	$(RUN) --config=$(MOTIONFIT)/synthetic.py --workdir=runs/motionfit

motionfit-studies: $(VENV)/installed
	$(RUN) --config=$(MOTIONFIT)/studies.py --workdir=runs/motionfit_studies

IG65M := experiments/ig65m/configs
ig65m-demo: $(VENV)/installed
	$(RUN) --config=$(IG65M)/synthetic.py --workdir=runs/ig65m_demo \
	    --seeds=0 --strategies=scratch,target_all

ig65m: $(VENV)/installed
	$(RUN) --config=$(IG65M)/synthetic.py --workdir=runs/ig65m

ig65m-studies: $(VENV)/installed
	$(RUN) --config=$(IG65M)/studies.py --workdir=runs/ig65m_studies

# Whole files to each process: their tests share what is costly to make. In the order of
# their names: else those of few tests come last, which are slow. A process may take
# 2 GB.
test: $(VENV)/installed-dev
	$(BIN)/python -m pytest --numprocesses=auto --maxprocesses=4 --dist=loadfile \
	    --no-loadscope-reorder

test-slow: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m slow

$(S3_VENV)/installed: setup.py
	@test -x $(S3_VENV)/bin/python || python3.11 -m venv $(S3_VENV)
	$(S3_VENV)/bin/python -m pip install --quiet --disable-pip-version-check \
	    -e '.[tfio]' 'moto[server]>=5' 'pytest>=8'
	@touch $@

# Needs root, and Debian's slurm-wlm and munge; skipped without them.
test-cluster: $(VENV)/installed-dev
	$(BIN)/python -m pytest -m cluster tests/cluster

test-s3: $(S3_VENV)/installed
	$(S3_VENV)/bin/python -m pytest tests/remote

lint: $(VENV)/installed-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .

format: $(VENV)/installed-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

bench: $(VENV)/installed-dev
	$(BIN)/python -m benchmarks.label_maps --pairs=10_000_000
	$(BIN)/python -m benchmarks.convert_videos --rounds=2 --clips_per_video=1
	$(BIN)/python -m benchmarks.input_pipeline --clips=256 --rounds=2
	$(BIN)/python -m benchmarks.index_scale --rows=1_000_000
	$(BIN)/python -m benchmarks.image_clips --clips=128 --rounds=1
	$(BIN)/python -m benchmarks.train_loop --rounds=1
	$(BIN)/python -m benchmarks.near_duplicates
	$(BIN)/python -m benchmarks.optical_flow --clips=2 --rounds=1
	$(BIN)/python -m benchmarks.cluster_features --clips=20_000 --numbers=64 \
	    --clusters=100

clean:
	rm -rf $(VENV) $(S3_VENV) build dist *.egg-info .pytest_cache .ruff_cache .hypothesis
