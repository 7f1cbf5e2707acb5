"""What the doctor finds of verl's needs."""

from orbiter_verl.doctor import examine


class TestDoctor:
    def test_every_finding_says_what_it_is_about(self):
        found = {finding.what: finding for finding in examine()}
        assert [found[name].good for name in ("verl", "ray")] == [True, True]
        assert {"GPU", "flash-attn", "vllm", "sglang", "memory", "/dev/shm"} <= set(found)

    def test_what_is_missing_has_a_hint(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor._version", lambda name: None)
        for finding in examine():
            if finding.good is False:
                assert finding.hint.startswith("pip install") or finding.what in (
                    "memory",
                    "/dev/shm",
                )

    def test_another_version_is_a_remark(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor.TESTED", {"verl": "0.0.1"})
        verl = next(finding for finding in examine() if finding.what == "verl")
        assert (verl.good, "tested with 0.0.1" in verl.hint) == (None, True)

    def test_the_environment(self, monkeypatch):
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        found = {finding.what: finding for finding in examine()}
        assert "ray_address" in found["RAY_ADDRESS"].hint
        assert "hides every GPU" in found["CUDA_VISIBLE_DEVICES"].said

    def test_little_memory(self, monkeypatch):
        monkeypatch.setattr("orbiter_verl.doctor.MEMORY_GB", 10**6)
        memory = next(finding for finding in examine() if finding.what == "memory")
        assert memory.good is False
        assert "end other programs" in memory.hint
