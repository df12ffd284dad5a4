import pytest

from spl_tf import training
from spl_tf.runs import run_folder
from tests.training.finished_run import write_run


def test_the_defaults_need_only_a_dataset(config):
    training.check_config(config)
    with pytest.raises(ValueError, match=r"config\.data\.train is empty"):
        training.check_config(training.default_config())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("model.name", "r2d2", r"config\.model\.name is 'r2d2', expected one of"),
        ("data.batch_size", 0, r"batch_size is 0 and .*global_batch_size 0, expected"),
        ("data.global_batch_size", 8, r"global_batch_size 8, expected one of them to"),
        ("data.batch_size", -1, r"config\.data\.batch_size is -1"),
        ("runtime.startup_timeout", 0.0, r"config\.runtime\.startup_timeout is 0"),
        ("augmentation.hue", 1.5, r"config\.augmentation\.hue is 1\.5, expected 0 to"),
        ("init.checkpoint", "nowhere", r"config\.init\.checkpoint: there is no folder"),
        ("init.inflate", "no.npz", r"config\.init\.inflate: there is no file no\.npz"),
        ("model.dropout", 1.0, r"config\.model\.dropout is 1\.0"),
        ("data.label_map", "nowhere", r"config\.data\.label_map: there is no folder"),
        ("runtime.log_every_steps", 7, "multiple of config.runtime.steps_per_call"),
        ("schedule.warmup.epochs", 3.0, r"config\.schedule\.warmup is given twice"),
        ("schedule.length.steps", 0, r"config\.schedule\.length is 0"),
        ("schedule.shape", "linear", r"config\.schedule\.shape is 'linear'"),
        ("loss.name", "mse", r"config\.loss\.name is 'mse', expected one of"),
        ("optimizer.accumulation_steps", 0, "accumulation_steps is 0, expected 1"),
        ("seed", 2**33, r"config\.seed is 8589934592, expected .* 0 to 4294967295"),
        ("seed", -3, r"config\.seed is -3, expected a whole number from 0 to 42"),
        ("data.strides", (1, 0), r"config\.data\.strides are \(1, 0\), expected whole"),
        ("loss.clip_weight", -0.5, r"config\.loss\.clip_weight is -0\.5, expected 0"),
        ("loss.clip_weight", 0.5, r"clip_weight is 0\.5.*use 'loss_of_mean'"),
        ("runtime.strategy", "many", r"config\.runtime\.strategy is 'many'"),
    ],
)
def test_impossible_values_name_their_key(config, key, value, message):
    config.update_from_flattened_dict({key: value})
    with pytest.raises(
        ValueError if "there is no" not in message else OSError, match=message
    ):
        training.check_config(config)


def test_what_a_loss_cannot_have_is_refused(config, tmp_path):
    config.loss.transition = str(tmp_path)
    with pytest.raises(ValueError, match=r"config\.loss\.transition .*no use for it"):
        training.check_config(config)
    config.loss.update(transition="", name="data_parameters")
    training.check_config(config)
    config.optimizer.accumulation_steps = 2
    with pytest.raises(ValueError, match="'data_parameters' expected 1"):
        training.check_config(config)


def test_segments_have_no_stride_to_draw(config):
    config.data.strides = (1, 2)
    training.check_config(config)
    config.data.sampling = "segments"
    with pytest.raises(ValueError, match=r"strides are \(1, 2\).*no stride"):
        training.check_config(config)


def test_an_unknown_key_is_refused(config):
    with config.unlocked():
        config.optimizer.learning_rte = 0.1
    with pytest.raises(
        ValueError, match=r"optimizer\.learning_rte is unknown; is learning_rate meant"
    ):
        training.check_config(config)


def test_labels_of_an_older_run_are_composed(tmp_path):
    workdir = write_run(tmp_path / "run", ["cre\u0302pes", "b"])
    config, names, _ = run_folder.load_run(workdir)
    assert names == ["cr\u00eapes", "b"]
    run_folder.claim_workdir(workdir, config, label_names=names)
    run_folder.check_start(workdir, keep_head=True, label_names=names)
