"""What a job's folder keeps where a run goes on."""

from orbiter.train.job_folder import JobFolder


def test_rows_of_metrics_after_the_checkpoint_are_cut(tmp_path):
    folder = JobFolder(tmp_path)
    assert folder.keep_metrics(3) == {}
    rows = [
        b'{"step":1,"loss":2.0,"kl":0.1}\n',
        b'{"step":3,"loss":1.0}\n',
        b'{"step":4,"loss":0.5}\n',
    ]
    folder.metrics.write_bytes(b"".join([*rows, b'{"st']))
    assert folder.keep_metrics(3) == {"loss": 1.0, "kl": 0.1}
    assert folder.metrics.read_bytes() == b"".join(rows[:2])
